import { type Table, tableName } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteIdentifier, quoteTable } from '../../engine/postgres/identifier.ts';

/** How much one connection copies before it takes the next chunk: small enough that the last ones end together and that a copy's
 *  progress shows, large enough that what a statement costs does not. */
const chunkBytes = 32 * 1024 * 1024;

/** Where a table's rows lie. */
export interface Extent {
  readonly oid: string;
  /** Pages of the table itself. Undefined: its rows do not lie in pages that can be asked for. */
  readonly pages: number | undefined;
  /** With what is stored beside the rows (TOAST). */
  readonly bytes: number;
}

/** A part of a table that one statement copies. */
export interface Chunk {
  readonly table: Table;
  /** Pages `from` up to `to`, without it; open where undefined: rows that come to lie behind the last page belong to the last chunk. */
  readonly from: number | undefined;
  readonly to: number | undefined;
  /** Near enough, for progress. */
  readonly bytes: number;
}

/** The tables in chunks that hold each row once. Pages, because every table of the heap has them, whatever its key; scans of a range
 *  of them read nothing else since PostgreSQL 14. */
export function chunksOf(tables: readonly Table[], extents: ReadonlyMap<string, Extent>): readonly Chunk[] {
  return tables.flatMap((table) => {
    const { pages = 0, bytes = 0 } = extents.get(tableName(table)) ?? {};
    const count = Math.max(1, Math.min(pages, Math.ceil(bytes / chunkBytes)));
    const bound = (index: number): number | undefined =>
      index === 0 || index === count ? undefined : Math.floor((pages * index) / count);
    return Array.from({ length: count }, (_, index) => ({
      table,
      from: bound(index),
      to: bound(index + 1),
      bytes: bytes / count,
    }));
  });
}

/** https://www.postgresql.org/docs/current/ddl-system-columns.html (ctid) */
export function copySql({ table, from, to }: Chunk): string {
  const columns = table.columns.map(({ name }) => quoteIdentifier(name)).join(', ');
  const name = quoteTable(table);
  if (from === undefined && to === undefined) return `COPY ${name}${columns && ` (${columns})`} TO STDOUT`;
  const conditions = [
    ...(from === undefined ? [] : [`ctid >= '(${from},0)'`]),
    ...(to === undefined ? [] : [`ctid < '(${to},0)'`]),
  ];
  // The rows of those that inherit from it come with their own tables.
  return `COPY (SELECT ${columns} FROM ONLY ${name} WHERE ${conditions.join(' AND ')}) TO STDOUT`;
}

/** By the names of `tableName`. Sizes are those of now: at least what an older snapshot sees. */
export async function extentsOf(connection: Connection): Promise<ReadonlyMap<string, Extent>> {
  const rows = await connection.rows(
    `SELECT n.nspname, c.relname, CASE a.amname WHEN 'heap' THEN pg_catalog.pg_relation_size(c.oid) /
              pg_catalog.current_setting('block_size')::bigint END,
            pg_catalog.pg_table_size(c.oid), c.oid
       FROM pg_catalog.pg_class c
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_catalog.pg_am a ON a.oid = c.relam
      WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_'`,
  );
  return new Map(
    rows.map(([schema, name, pages, bytes, oid]) => [
      tableName({ schema: schema ?? '', name: name ?? '' }),
      {
        pages: pages === null || pages === undefined ? undefined : Number(pages),
        // A table that was dropped meanwhile has no size any more.
        bytes: Number(bytes ?? 0),
        oid: oid ?? '',
      },
    ]),
  );
}
