import type { ProfileColumn, ProfileTable, SourceProfile } from '../../../change/profile.ts';
import { tableName } from '../../../change/table.ts';
import { type Found, some } from '../../../engine/postgres/access.ts';
import { quoteIdentifier, quoteTable } from '../../../engine/postgres/identifier.ts';
import type { ColumnFacts, TableFacts, TargetFacts } from '../facts.ts';

/** Tables that are there already: they must take every row of the source's exactly (invariant 14), and hold none of others. */
export function checkTables({ tables }: TargetFacts, source: SourceProfile, begun: boolean): Found[] {
  const there = new Map(tables.map((table) => [tableName(table), table]));
  const pairs = source.tables.flatMap((table) => {
    const own = there.get(tableName(table));
    return own === undefined ? [] : [{ table, own }];
  });
  const present = pairs.map(({ own }) => own);
  return [
    ...pairs.flatMap(({ table, own }) => differences(table, own)),
    ...pairs.flatMap(({ table, own }) => spareColumns(table, own)),
    ...(begun ? [] : occupied(present)),
    ...present.flatMap(firing),
  ];
}

function differences(table: ProfileTable, own: TableFacts): Found[] {
  const name = tableName(table);
  const alter = `ALTER TABLE ${quoteTable(table)}`;
  if (!own.table)
    return [
      {
        severity: 'blocker',
        check: 'table-differs',
        message: `${name} is a table at the primary and something else here`,
        cure: `-- Rename or drop what is called ${name} here`,
        code: 'TARGET_TABLE_DIFFERS',
      },
    ];
  const columns = new Map(own.columns.map((column) => [column.name, column]));
  const differing = [
    ...table.columns.map((column) => difference(column, columns.get(column.name))),
    ...own.columns.filter((column) => isSpare(column, table) && column.required).map(unknownRequired),
  ].filter((one) => one !== undefined);
  if (differing.length === 0) return [];
  return [
    {
      severity: 'blocker',
      check: 'table-differs',
      message: `${name} differs: ${some(differing.map(({ what }) => what))}`,
      cure: differing.flatMap(({ clauses }) => clauses.map((clause) => `${alter} ${clause};`)).join('\n'),
      code: 'TARGET_TABLE_DIFFERS',
    },
  ];
}

interface Difference {
  readonly what: string;
  /** Of ALTER TABLE, each one statement. */
  readonly clauses: readonly string[];
}

function difference(column: ProfileColumn, own: ColumnFacts | undefined): Difference | undefined {
  const name = quoteIdentifier(column.name);
  const add = `ADD COLUMN ${name} ${column.type}${column.generated === undefined ? '' : ` ${column.generated}`}`;
  if (own === undefined) return { what: `column ${column.name} ${column.type} is missing here`, clauses: [add] };
  if ((column.generated !== undefined) !== own.generated)
    return {
      what: `column ${column.name} is ${own.generated ? 'written at the primary and generated' : 'generated at the primary and written'} here`,
      clauses: [`DROP COLUMN ${name}`, add],
    };
  if (column.type === own.type) return undefined;
  return {
    what: `column ${column.name} is ${column.type} at the primary and ${own.type} here`,
    clauses: own.generated
      ? [`DROP COLUMN ${name}`, add]
      : [`ALTER COLUMN ${name} TYPE ${column.type} USING ${name}::text::${column.type}`],
  };
}

const isSpare = (column: ColumnFacts, table: ProfileTable): boolean =>
  table.columns.every((one) => one.name !== column.name);

const unknownRequired = (column: ColumnFacts): Difference => ({
  what: `column ${column.name} must be given a value here, and the primary does not know it`,
  clauses: [`ALTER COLUMN ${quoteIdentifier(column.name)} DROP NOT NULL`],
});

function spareColumns(table: ProfileTable, own: TableFacts): Found[] {
  const spare = own.table ? own.columns.filter((column) => isSpare(column, table) && !column.required) : [];
  if (spare.length === 0) return [];
  return [
    {
      severity: 'note',
      check: 'spare-columns',
      message: `${tableName(table)} has columns here that the primary does not know: ${some(spare.map(({ name }) => name))}`,
    },
  ];
}

/** All of our tables in one statement, the empty ones too: TRUNCATE refuses a table that one outside the statement refers to, and where
 *  that is not a table of ours a person has to decide. */
function occupied(tables: readonly TableFacts[]): Found[] {
  const full = tables.filter((table) => table.empty === false);
  if (full.length === 0) return [];
  const all = tables.filter((table) => table.table).map((table) => `\n  ${quoteTable(table)}`);
  return [
    {
      severity: 'blocker',
      check: 'not-empty',
      message: `Rows that are not ours are in ${some(full.map(tableName))}`,
      cure: `-- This deletes them. If they are needed, leave the tables out instead
TRUNCATE${all.join(',')};`,
      code: 'TARGET_NOT_EMPTY',
    },
  ];
}

function firing(table: TableFacts): Found[] {
  if (table.triggers.length === 0) return [];
  return [
    {
      severity: 'warning',
      check: 'triggers',
      message: `Triggers of ${tableName(table)} fire for replicated rows too: ${some(table.triggers)}. What they write, the primary's own trigger has written already`,
      cure: table.triggers
        .map((trigger) => `ALTER TABLE ${quoteTable(table)} ENABLE TRIGGER ${quoteIdentifier(trigger)};`)
        .join('\n'),
    },
  ];
}
