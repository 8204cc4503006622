import type { Connection } from '../../../engine/postgres/connect.ts';
import { groupBy, isOwnSchema, optionList, readRecords } from './catalog.ts';

/** A column as the catalog has it: every value as text, empty where there is none; names and types ready for SQL. */
export type CatalogColumn = Readonly<
  Record<
    | 'relation'
    | 'number'
    | 'name'
    | 'type'
    | 'collation'
    | 'default'
    | 'defaultOid'
    | 'generated'
    | 'identity'
    | 'isLocal'
    | 'isNotNull'
    | 'notNull'
    | 'plainStorage'
    | 'storage'
    | 'compression'
    | 'target'
    | 'options',
    string
  >
>;

/** The name of a NOT NULL constraint, with what it says beyond the usual; `inherited` where the parent's column brings it.
 *  Servers before 18 keep no such constraint, only the column's flag. Nothing for the name that the server would give. */
const notNull = `coalesce((
  select jsonb_build_object(
    'oid', k.oid, 'name', case when k.conname = cl.relname || '_' || a.attname || '_not_null' then '' else quote_ident(k.conname) end,
    'full', quote_ident(k.conname), 'local', k.conislocal, 'valid', k.convalidated, 'noInherit', k.connoinherit)::text
  from pg_constraint k where k.conrelid = a.attrelid and k.contype = 'n' and k.conkey = array[a.attnum]), '')`;

/** Columns of all tables, views and composite types, by the oid of the relation, in their order. */
export async function readColumns(connection: Connection): Promise<ReadonlyMap<string, readonly CatalogColumn[]>> {
  const columns: readonly CatalogColumn[] = await readRecords(
    connection,
    {
      relation: 'a.attrelid',
      number: 'a.attnum',
      name: 'quote_ident(a.attname)',
      type: 'format_type(a.atttypid, a.atttypmod)',
      collation: `case when a.attcollation <> t.typcollation then a.attcollation::regcollation::text else '' end`,
      default: `coalesce(pg_get_expr(d.adbin, d.adrelid), '')`,
      defaultOid: `coalesce(d.oid::text, '')`,
      generated: 'a.attgenerated',
      identity: 'a.attidentity',
      isLocal: 'a.attislocal',
      isNotNull: 'a.attnotnull',
      notNull,
      plainStorage: 't.typstorage',
      storage: 'a.attstorage',
      compression: 'a.attcompression',
      target: `coalesce(nullif(a.attstattarget, -1)::text, '')`,
      options: optionList('a.attoptions'),
    },
    `from pg_attribute a
       join pg_class cl on cl.oid = a.attrelid
       join pg_type t on t.oid = a.atttypid
       left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attnum > 0 and not a.attisdropped and cl.relkind in ('r', 'p', 'c', 'v') and cl.relpersistence <> 't'
       and ${isOwnSchema('cl.relnamespace')}
     order by a.attrelid, a.attnum`,
  );
  return groupBy(columns, (column) => column.relation);
}

export interface NotNull {
  readonly oid: string;
  /** Empty where it is the one that the server would give. */
  readonly name: string;
  readonly full: string;
  readonly local: boolean;
  readonly valid: boolean;
  readonly noInherit: boolean;
}

/** Undefined: the server keeps no constraint for this column. */
export const notNullOf = (column: CatalogColumn): NotNull | undefined =>
  column.notNull === '' ? undefined : (JSON.parse(column.notNull) as NotNull);

export const collate = (column: Pick<CatalogColumn, 'collation'>): string =>
  column.collation && ` COLLATE ${column.collation}`;
