import { tableName } from '../../../change/table.ts';
import { type Found, some } from '../../../engine/postgres/access.ts';
import { quoteTable } from '../../../engine/postgres/identifier.ts';
import { type Excerpt, type Excerpts, hashCharacters } from '../excerpt.ts';
import type { ColumnFacts, TableFacts } from '../facts.ts';

/** From this version on the server judges rows for a publication. */
const conditionsFrom = 150_000;

/** What of the configured excerpts cannot be, or would not do what it says. `tables`: those that are copied. */
export function checkExcerpts(tables: readonly TableFacts[], excerpts: Excerpts, version: number): Found[] {
  const cut = tables.flatMap((table) => {
    const excerpt = excerpts.of(table);
    return excerpt ? [{ table, excerpt }] : [];
  });
  return [
    ...cut.flatMap(({ table, excerpt }) => conditions(table, excerpt, version)),
    ...cut.flatMap(({ table, excerpt }) => columns(table, excerpt)),
    ...strangers(cut),
  ];
}

const blocker = (check: string, message: string, cure: string): Found => ({
  severity: 'blocker',
  check,
  message,
  cure,
  code: 'SOURCE_TABLE_UNSUITABLE',
});

function conditions(table: TableFacts, { rows }: Excerpt, version: number): Found[] {
  if (rows === undefined) return [];
  const name = tableName(table);
  if (version < conditionsFrom)
    return [
      blocker(
        'row-filter',
        `${name} is filtered by rows, which takes PostgreSQL 15 or newer`,
        '-- Upgrade the server, or take `rows` out of the rule',
      ),
    ];
  if (table.identity === 'full') return [];
  return [
    blocker(
      'row-filter',
      `${name} is filtered by rows: to tell rows that begin or cease to meet the condition, they must be logged whole`,
      `ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY FULL;`,
    ),
  ];
}

/** Those that rows are recognised by, where the stream comes with them. */
function identifying(table: TableFacts): ReadonlySet<string> {
  const index = table.indexes.find((one) =>
    table.identity === 'index' ? one.identity : one.primary && !one.deferrable,
  );
  return new Set(table.identity === 'nothing' ? [] : index?.columns);
}

const hashable = /(^|\.)(text|citext|character varying)$/;

function columns(table: TableFacts, { leaveOut, masks }: Excerpt): Found[] {
  const keys = identifying(table);
  const unique = new Set(table.indexes.flatMap((index) => index.columns));
  return table.columns.flatMap((column): Found[] => {
    const mask = masks.get(column.name);
    const isLeftOut = leaveOut.includes(column.name);
    if (!mask && !isLeftOut) return [];
    const fault = faultOf(column, {
      isKey: keys.has(column.name),
      isUnique: unique.has(column.name),
      kind: isLeftOut ? 'left out' : (mask?.kind ?? 'null'),
    });
    return fault ? [blocker('mask', `Column ${column.name} of ${tableName(table)} ${fault[0]}`, `-- ${fault[1]}`)] : [];
  });
}

interface Fate {
  readonly isKey: boolean;
  readonly isUnique: boolean;
  readonly kind: 'left out' | 'hash' | 'null' | 'fixed';
}

/** What is wrong, and the way on. */
function faultOf(
  { type, notNull, generated }: ColumnFacts,
  { isKey, isUnique, kind }: Fate,
): readonly [string, string] | undefined {
  if (generated !== null)
    return ['is generated: the secondary computes it', 'Mask or leave out the columns that it is computed from'];
  if (isKey)
    return [
      'identifies its rows, and cannot be masked or left out',
      'Take it out of the rule; or give the table another key, for example a bigint GENERATED ALWAYS AS IDENTITY, and make that its identity',
    ];
  if (notNull && (kind === 'null' || kind === 'left out'))
    return ['must not be null', 'Mask it with { fixed: TEXT } or hash, or drop its NOT NULL constraint'];
  if (kind === 'fixed' && isUnique)
    return ['is part of a unique index, and a fixed text would be there twice', 'Mask it with hash, or with null'];
  const length = Number(/\((\d+)\)$/.exec(type)?.[1] ?? Infinity);
  if (kind === 'hash' && (!hashable.test(type.replace(/\(\d+\)$/, '')) || length < hashCharacters))
    return [
      `is ${type}, which cannot hold a hash of ${hashCharacters} characters`,
      'Mask it with null or { fixed: TEXT }',
    ];
  return undefined;
}

/** A slip of the pen in a name would let pass in the clear what should be masked. */
function strangers(cut: readonly { readonly table: TableFacts; readonly excerpt: Excerpt }[]): Found[] {
  const named = new Set(cut.flatMap(({ excerpt }) => [...excerpt.leaveOut, ...excerpt.masks.keys()]));
  const known = new Set(
    cut.flatMap(({ table, excerpt }) =>
      table.columns
        .filter(({ name }) => excerpt.leaveOut.includes(name) || excerpt.masks.has(name))
        .map(({ name }) => name),
    ),
  );
  const unknown = [...named].filter((name) => !known.has(name));
  if (unknown.length === 0) return [];
  return [
    blocker(
      'mask',
      `No table whose rule names them has these columns: ${some(unknown)}`,
      '-- Write the names as the catalogue spells them, or take them out of the rules',
    ),
  ];
}
