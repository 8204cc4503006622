import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteTable } from '../../engine/postgres/identifier.ts';
import type { TableDigest } from '../helm.ts';

export type Wanted = (table: { readonly schema: string; readonly name: string }) => boolean;

/** As `Helm.sizes`. */
export async function tableSizes(connection: Connection, wanted: Wanted): Promise<ReadonlyMap<string, number>> {
  const rows = await connection.rows(`
    SELECT n.nspname, c.relname, pg_table_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'changeover')
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
     ORDER BY 1, 2`);
  const named = rows.map(([schema, name, bytes]) => ({ schema: schema ?? '', name: name ?? '', bytes: Number(bytes) }));
  return new Map(named.filter(wanted).map((table) => [quoteTable(table), table.bytes]));
}

/** As `Helm.digests`. The columns go by name: their places may differ where a parent got one after its children. */
export async function tableDigests(
  connection: Connection,
  tables: readonly string[],
): Promise<ReadonlyMap<string, TableDigest>> {
  const found = new Map<string, TableDigest>();
  for (const table of tables) {
    const [columns] = await connection.rows(
      `SELECT string_agg(quote_ident(attname) || '::text', ', ' ORDER BY attname) FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`,
      [table],
    );
    // A table that is not there has no rows, and no digest that any other has.
    const list = columns?.[0];
    const sql = `SELECT count(*), coalesce(sum(('x' || left(md5(ROW(${list})::text), 15))::bit(60)::bigint), 0) FROM ONLY ${table}`;
    const [row] = list ? await connection.rows(sql) : [['0', 'no such table']];
    found.set(table, { rows: Number(row?.[0]), digest: row?.[1] ?? '' });
  }
  return found;
}
