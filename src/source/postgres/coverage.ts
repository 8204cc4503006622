import { quoteIdentifier, quoteLiteral, quoteTable } from '../../engine/postgres/identifier.ts';
import { conditionSql, type Excerpts, excerptMark } from './excerpt.ts';
import type { TableFacts } from './facts.ts';

type Named = { readonly schema: string; readonly name: string };

/** Whether a table is to be replicated. */
export type Wanted = (table: Named) => boolean;

/** The tables whose rows are copied and streamed: those that hold rows themselves and write them to the log. */
export const copied = (tables: readonly TableFacts[], wanted: Wanted): TableFacts[] =>
  tables.filter((table) => table.kind === 'table' && !table.unlogged && wanted(table));

/** What a publication names, so that it covers `copied`: a partitioned table stands for its partitions, also those to come, when
 *  every one of them is wanted. */
export function published(tables: readonly TableFacts[], wanted: Wanted, excerpts?: Excerpts): TableFacts[] {
  // Conditions are those of partitions.
  if (hasConditions(tables, excerpts)) return copied(tables, wanted);
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

const list = (tables: readonly Named[], excerpts: Excerpts | undefined): string =>
  tables
    .map((table) => {
      const rows = excerpts?.of(table)?.rows;
      // Where there are conditions, a parent is published without the tables that inherit from it: those have conditions of their own.
      const only = hasConditions(tables, excerpts) ? 'ONLY ' : '';
      return `\n  ${only}${quoteTable(table)}${rows === undefined ? '' : ` WHERE ${conditionSql(rows)}`}`;
    })
    .join(',');

const hasConditions = (tables: readonly Named[], excerpts: Excerpts | undefined): boolean =>
  tables.some((table) => excerpts?.of(table)?.rows !== undefined);

/** Says what a publication was made for. */
export const excerptsCommentSql = (name: string, { fingerprint }: Excerpts): string =>
  `COMMENT ON PUBLICATION ${quoteIdentifier(name)} IS ${quoteLiteral(excerptMark + fingerprint)}`;

/** https://www.postgresql.org/docs/current/sql-createpublication.html. Everything that is published by default, and by partition. */
export function createPublicationSql(name: string, tables: readonly Named[], excerpts?: Excerpts): string {
  const create = `CREATE PUBLICATION ${quoteIdentifier(name)}${tables.length === 0 ? '' : ` FOR TABLE${list(tables, excerpts)}`}`;
  return excerpts ? `${create};\n${excerptsCommentSql(name, excerpts)}` : create;
}

export const addTablesSql = (name: string, tables: readonly Named[], excerpts?: Excerpts): string =>
  `ALTER PUBLICATION ${quoteIdentifier(name)} ADD TABLE${list(tables, excerpts)}`;

/** Replaces the list, and with it every row filter and column list. */
export const setTablesSql = (name: string, tables: readonly Named[], excerpts?: Excerpts): string =>
  `ALTER PUBLICATION ${quoteIdentifier(name)} SET TABLE${list(tables, excerpts)}`;
