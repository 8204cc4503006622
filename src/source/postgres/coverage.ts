import { quoteIdentifier, quoteTable } from '../../engine/postgres/identifier.ts';
import type { TableFacts } from './facts.ts';

type Named = { readonly schema: string; readonly name: string };

/** Whether a table is to be replicated. */
export type Wanted = (table: Named) => boolean;

/** The tables whose rows are copied and streamed: those that hold rows themselves and write them to the log. */
export const copied = (tables: readonly TableFacts[], wanted: Wanted): TableFacts[] =>
  tables.filter((table) => table.kind === 'table' && !table.unlogged && wanted(table));

/** What a publication names, so that it covers `copied`: a partitioned table stands for its partitions, also those to come, when
 *  every one of them is wanted. */
export function published(tables: readonly TableFacts[], wanted: Wanted): TableFacts[] {
  const named = (table: Named): string => `${table.schema}.${table.name}`;
  const whole = new Set(
    tables
      .filter((table) => table.kind === 'partitioned' && wanted(table))
      .map(named)
      .filter((root) =>
        tables.every(
          (part) => !part.roots.includes(root) || (wanted(part) && part.kind !== 'foreign' && !part.unlogged),
        ),
      ),
  );
  return tables.filter((table) => {
    if (table.roots.some((root) => whole.has(root))) return false;
    return whole.has(named(table)) || copied([table], wanted).length === 1;
  });
}

const list = (tables: readonly Named[]): string => tables.map((table) => `\n  ${quoteTable(table)}`).join(',');

/** https://www.postgresql.org/docs/current/sql-createpublication.html. Everything that is published by default, and by partition. */
export const createPublicationSql = (name: string, tables: readonly Named[]): string =>
  tables.length === 0
    ? `CREATE PUBLICATION ${quoteIdentifier(name)}`
    : `CREATE PUBLICATION ${quoteIdentifier(name)} FOR TABLE${list(tables)}`;

export const addTablesSql = (name: string, tables: readonly Named[]): string =>
  `ALTER PUBLICATION ${quoteIdentifier(name)} ADD TABLE${list(tables)}`;

/** Replaces the list, and with it every row filter and column list. */
export const setTablesSql = (name: string, tables: readonly Named[]): string =>
  `ALTER PUBLICATION ${quoteIdentifier(name)} SET TABLE${list(tables)}`;
