import type { Table } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';

/** The tables whose rows replication carries: ordinary and logged, partitions as themselves and not their parents, without those of
 *  the system and of Changeover. Columns as the stream announces them: no generated ones, in their order. */
export async function replicatedTables(
  connection: Connection,
  wanted: (table: { schema: string; name: string }) => boolean,
): Promise<readonly Table[]> {
  const rows = await connection.rows(
    `SELECT n.nspname, c.relname, c.relreplident, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
            COALESCE(a.attnum = ANY (k.indkey::int2[]), false)
       FROM pg_catalog.pg_class c
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       LEFT JOIN pg_catalog.pg_attribute a
         ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
       LEFT JOIN pg_catalog.pg_index k ON k.indrelid = c.oid
         AND CASE c.relreplident WHEN 'i' THEN k.indisreplident WHEN 'n' THEN false ELSE k.indisprimary AND k.indimmediate END
      WHERE c.relkind = 'r' AND c.relpersistence = 'p'
        AND n.nspname NOT IN ('information_schema', 'changeover') AND n.nspname !~ '^pg_'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
      ORDER BY n.nspname, c.relname, a.attnum`,
  );
  const tables = new Map<
    string,
    { schema: string; name: string; full: boolean; columns: Table['columns'][number][] }
  >();
  for (const [schema, name, identity, column, type, key] of rows) {
    const at = JSON.stringify([schema, name]);
    const table = tables.get(at) ?? { schema: schema ?? '', name: name ?? '', full: identity === 'f', columns: [] };
    tables.set(at, table);
    if (column) table.columns.push({ name: column, type: type ?? '', key: key === 't' });
  }
  return [...tables.values()].filter(wanted).map(({ schema, name, full, columns }) => {
    const identity = full ? 'full' : columns.some((column) => column.key) ? 'key' : 'none';
    return { schema, name, identity, columns };
  });
}
