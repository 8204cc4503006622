import type { Connection } from '../../../engine/postgres/connect.ts';
import { isOwnSchema, optionList, readRecords } from './catalog.ts';

/** A column as the catalog has it; names, types and expressions are ready for SQL. */
export interface CatalogColumn {
  readonly number: number;
  readonly name: string;
  readonly type: string;
  readonly collation?: string;
  /** Also the expression of a generated column. */
  readonly default?: string;
  readonly defaultOid?: string;
  readonly generated?: 'STORED' | 'VIRTUAL';
  readonly identity?: 'ALWAYS' | 'BY DEFAULT';
  /** Only inherited, not the table's own. */
  readonly inherited?: true;
  readonly notNull?: NotNull;
  /** Where they are not the type's own. */
  readonly storage?: string;
  readonly compression?: string;
  readonly target?: number;
  readonly options?: string;
}

export interface NotNull {
  /** Undefined before version 18, which keeps no constraint, only a mark at the column. */
  readonly constraint?: {
    readonly name: string;
    /** It has the name that the server would give. */
    readonly usual: boolean;
    readonly local: boolean;
    readonly valid: boolean;
    readonly noInherit: boolean;
  };
}

/** The columns of a relation, by its oid, in their order. */
export type ColumnsOf = (relation: string) => readonly CatalogColumn[];

const notNull = `case when a.attnotnull then jsonb_strip_nulls(jsonb_build_object('constraint', case when k.oid is not null then
  jsonb_build_object('name', quote_ident(k.conname), 'usual', k.conname = c.relname || '_' || a.attname || '_not_null',
    'local', k.conislocal, 'valid', k.convalidated, 'noInherit', k.connoinherit) end)) end`;

const column = `json_strip_nulls(json_build_object(
  'number', a.attnum,
  'name', quote_ident(a.attname),
  'type', format_type(a.atttypid, a.atttypmod),
  'collation', case when a.attcollation <> t.typcollation then a.attcollation::regcollation end,
  'default', pg_get_expr(d.adbin, d.adrelid),
  'defaultOid', d.oid::text,
  'generated', case a.attgenerated when 's' then 'STORED' when 'v' then 'VIRTUAL' end,
  'identity', case a.attidentity when 'a' then 'ALWAYS' when 'd' then 'BY DEFAULT' end,
  'inherited', case when not a.attislocal then true end,
  'notNull', ${notNull},
  'storage', case when a.attstorage <> t.typstorage then
    case a.attstorage when 'p' then 'PLAIN' when 'e' then 'EXTERNAL' when 'm' then 'MAIN' else 'EXTENDED' end end,
  'compression', case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end,
  'target', nullif(a.attstattarget, -1),
  'options', nullif(${optionList('a.attoptions')}, '')))`;

/** Columns of all tables, views and composite types: kept as one text for each relation and taken apart when asked for, since ten
 *  thousand tables have hundreds of thousands of them. */
export async function readColumns(connection: Connection): Promise<ColumnsOf> {
  const records = await readRecords(
    connection,
    { relation: 'c.oid', columns: `json_agg(${column} order by a.attnum)` },
    `from pg_attribute a
       join pg_class c on c.oid = a.attrelid
       join pg_type t on t.oid = a.atttypid
       left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
       left join pg_constraint k on k.conrelid = a.attrelid and k.contype = 'n' and k.conkey[1] = a.attnum
     where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'c', 'v') and c.relpersistence <> 't'
       and ${isOwnSchema('c.relnamespace')}
     group by c.oid`,
  );
  const byRelation = new Map(records.map(({ relation, columns }) => [relation, columns]));
  return (relation) => JSON.parse(byRelation.get(relation) ?? '[]') as CatalogColumn[];
}

export const collate = ({ collation }: Pick<CatalogColumn, 'collation'>): string =>
  collation ? ` COLLATE ${collation}` : '';
