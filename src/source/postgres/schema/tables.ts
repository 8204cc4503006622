import type { Connection } from '../../../engine/postgres/connect.ts';
import { groupBy, isOwn, optionList, qualified, readRecords } from './catalog.ts';

/** A table as the catalog has it: every value as text, empty where there is none; names ready for SQL. */
export type CatalogTable = Readonly<
  Record<
    | 'oid'
    | 'schema'
    | 'plainName'
    | 'name'
    | 'isPartition'
    | 'isUnlogged'
    | 'partitionBy'
    | 'bound'
    | 'typeName'
    | 'accessMethod'
    | 'options',
    string
  >
>;

export interface Tables {
  /** Only those that are copied. */
  readonly byOid: ReadonlyMap<string, CatalogTable>;
  /** Direct parents by oid, in their order, also such as are not copied. */
  readonly parents: ReadonlyMap<string, readonly string[]>;
}

export async function readTables(
  connection: Connection,
  wanted: (table: { schema: string; name: string }) => boolean,
): Promise<Tables> {
  const tables: readonly CatalogTable[] = await readRecords(
    connection,
    {
      oid: 'c.oid',
      schema: 'n.nspname',
      plainName: 'c.relname',
      name: qualified('n.nspname', 'c.relname'),
      isPartition: 'c.relispartition',
      isUnlogged: `c.relpersistence = 'u'`,
      partitionBy: `case c.relkind when 'p' then pg_get_partkeydef(c.oid) else '' end`,
      bound: `coalesce(pg_get_expr(c.relpartbound, c.oid), '')`,
      typeName: `case when c.reloftype = 0 then '' else format_type(c.reloftype, -1) end`,
      accessMethod: `coalesce((select quote_ident(am.amname) from pg_am am where am.oid = c.relam and am.amname <> 'heap'), '')`,
      options: `concat_ws(', ', nullif(${optionList('c.reloptions')}, ''), (select nullif(${optionList('toast.reloptions', 'toast.')}, '')
        from pg_class toast where toast.oid = c.reltoastrelid))`,
    },
    `from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and c.relpersistence <> 't' and ${isOwn('pg_class', 'c', 'n.oid')}`,
  );
  const inherits = await readRecords(
    connection,
    { child: 'i.inhrelid', parent: 'i.inhparent' },
    `from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relkind in ('r', 'p') order by i.inhrelid, i.inhseqno`,
  );
  return {
    byOid: new Map(
      tables
        .filter(({ schema, plainName }) => wanted({ schema, name: plainName }))
        .map((table) => [table.oid, table] as const),
    ),
    parents: new Map(
      [...groupBy(inherits, ({ child }) => child)].map(([child, all]) => [child, all.map(({ parent }) => parent)]),
    ),
  };
}
