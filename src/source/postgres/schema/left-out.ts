import type { Connection } from '../../../engine/postgres/connect.ts';
import { isNoPart, isOwn, isOwnSchema, readRecords } from './catalog.ts';
import type { Address, LeftOut } from './item.ts';
import type { Plan } from './plan.ts';

const kinds: readonly { readonly catalog: string; readonly where: string; readonly reason: string }[] = [
  { catalog: 'pg_event_trigger', where: `x.evtname !~ '^changeover_ddl_'`, reason: 'event triggers are not copied' },
  { catalog: 'pg_foreign_data_wrapper', where: 'true', reason: 'foreign data is not copied' },
  { catalog: 'pg_foreign_server', where: 'true', reason: 'foreign data is not copied' },
  {
    catalog: 'pg_class',
    where: `x.relkind = 'f' and ${isOwnSchema('x.relnamespace')}`,
    reason: 'foreign data is not copied',
  },
  {
    catalog: 'pg_type',
    where: `x.typtype in ('b', 'p') and ${isOwnSchema('x.typnamespace')} and ${isNoPart('pg_type', 'x.oid')}`,
    reason: 'base types are not copied, except by an extension',
  },
  {
    catalog: 'pg_type',
    where: `exists (select from pg_range r where r.rngtypid = x.oid and r.rngcanonical <> 0)`,
    reason: 'range types with a canonical function are not copied, except by an extension',
  },
  ...[
    'pg_opclass',
    'pg_opfamily',
    'pg_conversion',
    'pg_language',
    'pg_am',
    'pg_transform',
    'pg_ts_parser',
    'pg_ts_template',
  ].map((catalog) => ({ catalog, where: 'true', reason: 'not copied, except by an extension' })),
  { catalog: 'pg_default_acl', where: 'true', reason: 'default privileges are not copied' },
];

/** What this database has and no statement creates: by its kind, or because of what it needs. */
export async function readLeftOut(connection: Connection, { dropped }: Plan): Promise<readonly LeftOut[]> {
  const queries = kinds.map(
    ({ catalog, where, reason }) => `select pg_describe_object('pg_catalog.${catalog}'::regclass, x.oid, 0) as object,
       '${reason}' as reason from pg_catalog.${catalog} x where ${isOwn(catalog, 'x')} and (${where})`,
  );
  const largeObjects = `select count(*) || ' large objects', 'large objects are not copied' from pg_largeobject_metadata having count(*) > 0`;
  const byKind = await readRecords(
    connection,
    { object: 'object', reason: 'reason' },
    `from (${[...queries, largeObjects].join(' union all ')}) x order by 1, 2`,
  );
  const names = await describe(connection, [...new Set(dropped.flatMap(({ missing }) => missing ?? []))]);
  const byNeed = dropped.map(({ item, missing }) => ({
    object: item.object,
    reason:
      missing === undefined
        ? 'needs itself by way of other objects'
        : `needs ${names.get(missing) ?? missing}, which is not copied`,
  }));
  return [...byKind, ...byNeed];
}

async function describe(connection: Connection, missing: readonly Address[]): Promise<ReadonlyMap<Address, string>> {
  if (missing.length === 0) return new Map();
  const records = await readRecords(
    connection,
    {
      at: 'm.at',
      name: `coalesce(pg_describe_object(split_part(m.at, '/', 1)::oid, split_part(m.at, '/', 2)::oid, 0), m.at)`,
    },
    `from unnest(string_to_array('${missing.map((at) => at.replace(/#.*/, '')).join(' ')}', ' ')) m (at)`,
  );
  return new Map(records.map(({ at, name }) => [at, name]));
}
