import { type Table, tableName } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteIdentifier, quoteTable } from '../../engine/postgres/identifier.ts';
import { conditionSql } from './excerpt.ts';
import type { Range } from './ranges.ts';

/** Where a table's rows lie. */
export interface Extent {
  readonly oid: string;
  /** Pages of the table itself. Undefined: its rows do not lie in pages that can be asked for. */
  readonly pages: number | undefined;
  /** With what is stored beside the rows (TOAST). */
  readonly bytes: number;
  /** The file of the pages: another one once the table was rewritten. */
  readonly file: string;
  /** Whether a row can be looked for by its primary key, in types that PostgreSQL itself compares. */
  readonly isKeyed: boolean;
}

/** A part of a table that one statement copies. Rows that come to lie behind the last page belong to the last chunk. */
export interface Chunk extends Range {
  readonly table: Table;
  /** Near enough, for progress. */
  readonly bytes: number;
}

export interface ChunkOptions {
  readonly extents: ReadonlyMap<string, Extent>;
  /** How much one connection copies before it takes the next chunk. */
  readonly bytesMax: number;
  /** Of these tables, by the names of `tableName`, only these pages. */
  readonly ranges?: ReadonlyMap<string, readonly Range[]>;
}

const whole: readonly Range[] = [{ from: undefined, to: undefined }];

/** The tables in chunks that hold each row once. Pages, because every table of the heap has them, whatever its key; scans of a range
 *  of them read nothing else since PostgreSQL 14. */
export function chunksOf(tables: readonly Table[], { extents, bytesMax, ranges }: ChunkOptions): readonly Chunk[] {
  return tables.flatMap((table) => {
    const name = tableName(table);
    const { pages = 0, bytes = 0 } = extents.get(name) ?? {};
    return (ranges?.get(name) ?? whole).flatMap((range) => {
      const first = range.from ?? 0;
      const count = Math.max(0, Math.min(range.to ?? pages, pages) - first);
      const share = range === whole[0] ? bytes : (bytes * count) / Math.max(1, pages);
      const parts = Math.max(1, Math.min(count, Math.ceil(share / bytesMax)));
      const bound = (index: number): number | undefined => {
        if (index === 0) return range.from;
        return index === parts ? range.to : first + Math.floor((count * index) / parts);
      };
      return Array.from({ length: parts }, (_, index) => ({
        table,
        from: bound(index),
        to: bound(index + 1),
        bytes: share / parts,
      }));
    });
  });
}

/** https://www.postgresql.org/docs/current/ddl-system-columns.html (ctid) */
export function copySql({ table, from, to, rows }: Chunk & { readonly rows?: string | undefined }): string {
  const columns = table.columns.map(({ name }) => quoteIdentifier(name)).join(', ');
  const name = quoteTable(table);
  if (from === undefined && to === undefined && rows === undefined)
    return `COPY ${name}${columns && ` (${columns})`} TO STDOUT`;
  const conditions = [
    ...(from === undefined ? [] : [`ctid >= '(${from},0)'`]),
    ...(to === undefined ? [] : [`ctid < '(${to},0)'`]),
    ...(rows === undefined ? [] : [conditionSql(rows)]),
  ];
  // The rows of those that inherit from it come with their own tables.
  return `COPY (SELECT ${columns} FROM ONLY ${name} WHERE ${conditions.join(' AND ')}) TO STDOUT`;
}

/** By the names of `tableName`. Sizes are those of now: at least what an older snapshot sees. */
export async function extentsOf(connection: Connection): Promise<ReadonlyMap<string, Extent>> {
  const rows = await connection.rows(
    `SELECT n.nspname, c.relname, CASE a.amname WHEN 'heap' THEN pg_catalog.pg_relation_size(c.oid) /
              pg_catalog.current_setting('block_size')::bigint END,
            pg_catalog.pg_table_size(c.oid), c.oid, pg_catalog.pg_relation_filenode(c.oid),
            c.relreplident = 'd' AND NOT EXISTS (
              SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute k
                ON k.attrelid = c.oid AND k.attnum = ANY (i.indkey::int2[]) AND k.atttypid >= 16384
               WHERE i.indrelid = c.oid AND i.indisprimary)
       FROM pg_catalog.pg_class c
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_catalog.pg_am a ON a.oid = c.relam
      WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_'`,
  );
  return new Map(
    rows.map(([schema, name, pages, bytes, oid, file, isKeyed]) => [
      tableName({ schema: schema ?? '', name: name ?? '' }),
      {
        pages: pages === null || pages === undefined ? undefined : Number(pages),
        // A table that was dropped meanwhile has no size any more.
        bytes: Number(bytes ?? 0),
        oid: oid ?? '',
        file: file ?? '',
        isKeyed: isKeyed === 't',
      },
    ]),
  );
}
