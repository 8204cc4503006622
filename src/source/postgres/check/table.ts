import { tableName } from '../../../change/table.ts';
import { type Found, some } from '../../../engine/postgres/access.ts';
import { quoteIdentifier, quoteTable } from '../../../engine/postgres/identifier.ts';
import type { IndexFacts, TableFacts } from '../facts.ts';

/** From this version a published generated column must not identify rows: the server refuses UPDATE and DELETE then.
 *  https://www.postgresql.org/docs/18/logical-replication-gencols.html */
const generatedRefusedFrom = 180_000;

/** What PostgreSQL's own decoding leaves out or refuses, table by table. `tables`: those that are wanted, of every kind.
 *  `published`: those that are or will be in the publication, wanted or not, and the ones among them that we mend ourselves when
 *  we create it. */
export function checkTables(
  tables: readonly TableFacts[],
  published: { readonly tables: readonly TableFacts[]; readonly weMend: (table: TableFacts) => boolean },
  version: number,
): Found[] {
  return [
    ...published.tables
      .filter((table) => table.kind === 'table' && !table.unlogged)
      .flatMap((table) => identity(table, version, published.weMend(table))),
    ...unlogged(tables.filter((table) => table.kind === 'table' && table.unlogged)),
    ...foreign(tables.filter((table) => table.kind === 'foreign')),
  ];
}

/** Once published, a table whose rows cannot be recognised takes INSERT only: PostgreSQL fails its UPDATE and DELETE at the
 *  primary. For a table that only grows that is a limit; where rows are known to change it would break the application. */
function identity(table: TableFacts, version: number, weMend: boolean): Found[] {
  const reason = fault(table, version);
  if (reason === undefined) return [];
  const name = tableName(table);
  const common = {
    check: 'replica-identity',
    cure: identityCure(table, version),
    code: 'SOURCE_TABLE_UNSUITABLE',
  } as const;
  // Whole rows are all that we set by ourselves.
  if (weMend && generatedOf(table, version).size === 0)
    return [
      {
        ...common,
        severity: 'warning',
        message: `${name} ${reason}: we identify its rows by their whole content, which every UPDATE and DELETE then writes to the log`,
      },
    ];
  return [
    {
      ...common,
      severity: table.rewritten ? 'blocker' : 'warning',
      message: `${name} ${reason}: once replicated, UPDATE and DELETE on it fail at the primary${table.rewritten ? ', and it has seen such already' : ''}`,
    },
  ];
}

/** Why rows of the table cannot be recognised; undefined where they can. */
function fault(table: TableFacts, version: number): string | undefined {
  const generated = generatedOf(table, version);
  if (table.identity === 'full')
    return generated.size > 0 ? 'is identified by whole rows that have generated columns' : undefined;
  if (table.identity === 'nothing') return 'has REPLICA IDENTITY NOTHING';
  const index = table.indexes.find((one) => (table.identity === 'index' ? one.identity : one.primary));
  if (index === undefined)
    return table.identity === 'default' ? 'has no primary key' : 'has lost the index of its replica identity';
  if (index.deferrable) return 'has a deferrable primary key, which identifies no rows';
  return index.columns.some((column) => generated.has(column)) ? 'has a generated column in its key' : undefined;
}

const generatedOf = (table: TableFacts, version: number): Set<string> =>
  new Set(
    version < generatedRefusedFrom
      ? []
      : table.columns.filter((column) => column.generated !== null).map((column) => column.name),
  );

function identityCure(table: TableFacts, version: number): string {
  const alter = `ALTER TABLE ${quoteTable(table)}`;
  const generated = generatedOf(table, version);
  const fitting = table.indexes.filter((index) => identifies(index, table, generated));
  if (fitting.some((index) => index.primary)) return `${alter} REPLICA IDENTITY DEFAULT;`;
  if (fitting[0] !== undefined) return `${alter} REPLICA IDENTITY USING INDEX ${quoteIdentifier(fitting[0].name)};`;
  if (generated.size === 0) return `${alter} REPLICA IDENTITY FULL;`;
  const rewrite =
    '-- Whole rows cannot identify a table with generated columns; a new key can. This rewrites the table:\n';
  if (!table.indexes.some((index) => index.primary))
    return `${rewrite}${alter} ADD COLUMN changeover_row bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
${alter} REPLICA IDENTITY DEFAULT;`;
  const index = quoteIdentifier(`changeover_row_of_${table.name}`);
  return `${rewrite}${alter} ADD COLUMN changeover_row bigint GENERATED ALWAYS AS IDENTITY;
CREATE UNIQUE INDEX ${index} ON ${quoteTable(table)} (changeover_row);
${alter} REPLICA IDENTITY USING INDEX ${index};`;
}

/** https://www.postgresql.org/docs/current/sql-altertable.html (REPLICA IDENTITY USING INDEX) */
function identifies(index: IndexFacts, table: TableFacts, generated: ReadonlySet<string>): boolean {
  const notNull = new Set(table.columns.filter((column) => column.notNull).map((column) => column.name));
  return !index.partial && !index.deferrable && index.columns.every((one) => notNull.has(one) && !generated.has(one));
}

function unlogged(tables: readonly TableFacts[]): Found[] {
  if (tables.length === 0) return [];
  return [
    {
      severity: 'warning',
      check: 'unlogged-tables',
      message: `Unlogged, so not replicated: ${some(tables.map(tableName))}`,
      cure: tables.map((table) => `ALTER TABLE ${quoteTable(table)} SET LOGGED;`).join('\n'),
    },
  ];
}

function foreign(tables: readonly TableFacts[]): Found[] {
  if (tables.length === 0) return [];
  const message = `Foreign, so not replicated: ${some(tables.map(tableName))}`;
  return [{ severity: 'note', check: 'foreign-tables', message }];
}
