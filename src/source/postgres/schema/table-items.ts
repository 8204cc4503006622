import { quoteLiteral } from '../../../engine/postgres/identifier.ts';
import { block } from './catalog.ts';
import type { Check } from './checks.ts';
import { columnItems, columnRest, settingsItems } from './column-items.ts';
import { collate } from './columns.ts';
import { callsOwnCode } from './dependencies.ts';
import { address, type Item } from './item.ts';
import { isWritten, type Subject, subjectOf, type TableParts } from './subject.ts';

/** Tables as rows need them: columns, defaults, NOT NULL and checks; no keys, no indexes.
 *
 *  A partition is made as a table by itself and then attached: so it keeps its own order of columns, its defaults and its names.
 *  A child by INHERITS gets its parents' columns from them, in their order. Where the parent is not copied it stands alone. */
export const tableItems = (parts: TableParts): readonly Item[] =>
  [...parts.tables.byOid.values()].flatMap((table) => {
    const subject = subjectOf(parts, table);
    const checks = checkItems(subject);
    return [
      createItem(subject),
      ...checks,
      ...columnItems(subject),
      ...settingsItems(subject),
      ...attachItems(subject, checks),
    ];
  });

function createItem(subject: Subject): Item {
  const { table, parents, self } = subject;
  const inherits = table.isPartition === 'true' ? [] : parents;
  const lines = [...columnLines(subject), ...inlineChecks(subject)].map((line) => `\n    ${line}`);
  // A typed table takes no empty brackets, any other must have them.
  const body = lines.length > 0 ? `(${lines.join(',')}\n)` : table.typeName ? '' : '()';
  const parts = [
    `CREATE ${table.isUnlogged === 'true' ? 'UNLOGGED ' : ''}TABLE ${table.name}`,
    ...(table.typeName ? [`OF ${table.typeName}`] : []),
    ...(body ? [body] : []),
    ...(inherits.length > 0 ? [`INHERITS (${inherits.map(({ name }) => name).join(', ')})`] : []),
    ...(table.partitionBy ? [`PARTITION BY ${table.partitionBy}`] : []),
    ...(table.accessMethod ? [`USING ${table.accessMethod}`] : []),
    ...(table.options ? [`WITH (${table.options})`] : []),
  ];
  return {
    id: self,
    kind: 'table',
    object: `table ${table.name}`,
    sql: parts.join(' '),
    needs: inherits.map(({ oid }) => address('relation', oid)),
  };
}

function columnLines(subject: Subject): string[] {
  return subject.own
    .filter((column) => isWritten(subject, column))
    .flatMap((column) => {
      const rest = columnRest(subject, column);
      if (!subject.table.typeName) return [`${column.name} ${column.type}${collate(column)}${rest}`];
      return rest ? [`${column.name} WITH OPTIONS${rest}`] : [];
    });
}

const inlineChecks = (subject: Subject): string[] =>
  ownChecks(subject)
    .filter((check) => isInline(subject, check))
    .map(({ name, definition }) => `CONSTRAINT ${name} ${definition}`);

/** A child gets a parent's check from it, also one that is added later: the parent's statement goes down to its children. */
const ownChecks = (subject: Subject): readonly Check[] =>
  (subject.checks.get(subject.table.oid) ?? []).filter((check) => subject.standsAlone || check.isLocal === 'true');

const isInline = (subject: Subject, check: Check): boolean =>
  check.isSettled === 'true' && !callsOwnCode(subject.dependencies, address('constraint', check.oid));

/** Checks with a statement of their own: such as call own code, and, after the rows, such as rows may break. An unsettled one
 *  that a partition has from its parent comes from there. */
const checkItems = (subject: Subject): readonly Item[] =>
  ownChecks(subject)
    .filter((check) => !isInline(subject, check))
    .filter(({ isSettled, isLocal }) => isSettled === 'true' || isLocal === 'true' || subject.parents.length === 0)
    .map(({ oid, name, definition, isSettled }) => ({
      id: address('constraint', oid),
      kind: isSettled === 'true' ? 'check' : 'lateCheck',
      object: `constraint ${name} of table ${subject.table.name}`,
      sql: `ALTER TABLE ${subject.table.name} ADD CONSTRAINT ${name} ${definition}`,
      of: subject.self,
    }));

function attachItems(subject: Subject, checks: readonly Item[]): Item[] {
  const { table, parents, self } = subject;
  const [parent] = parents;
  if (table.isPartition === 'false' || parent === undefined) return [];
  // A second ATTACH fails with a state that also says other things, so it is asked for first.
  const isAttached = `SELECT FROM pg_catalog.pg_inherits WHERE inhrelid = ${quoteLiteral(table.name)}::pg_catalog.regclass`;
  const attach = `ALTER TABLE ONLY ${parent.name} ATTACH PARTITION ${table.name} ${table.bound};`;
  return [
    {
      id: address('relation', table.oid, 'attach'),
      kind: 'attach',
      object: `partition ${table.name} of ${parent.name}`,
      sql: block(`IF NOT EXISTS (${isAttached}) THEN\n${attach}\nEND IF;`),
      of: self,
      needs: [address('relation', parent.oid), ...checks.filter(({ kind }) => kind === 'check').map(({ id }) => id)],
    },
  ];
}
