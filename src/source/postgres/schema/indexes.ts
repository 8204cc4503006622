import type { Connection } from '../../../engine/postgres/connect.ts';
import { isNoMember, isOwn, isOwnSchema, qualified, readRecords } from './catalog.ts';
import { address, type Item } from './item.ts';

/** Indexes that are not made by a constraint. Those of a partitioned table are made at every level by their own names and then
 *  attached. What a failed CREATE INDEX CONCURRENTLY left behind is no index. */
export async function readIndexes(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 'c.oid',
      table: 'x.indrelid',
      name: qualified('n.nspname', 'c.relname'),
      sql: 'pg_get_indexdef(c.oid)',
    },
    `from pg_index x join pg_class c on c.oid = x.indexrelid join pg_namespace n on n.oid = c.relnamespace
     where (x.indisvalid or c.relkind = 'I') and c.relpersistence <> 't' and ${isOwn('pg_class', 'c', 'n.oid')}
       and ${isNoMember('pg_class', 'x.indrelid')}
       and not exists (select from pg_constraint k where k.conindid = c.oid and k.contype in ('p', 'u', 'x'))`,
  );
  return records.map(({ oid, table, name, sql }) => ({
    id: address('relation', oid),
    kind: 'index',
    object: `index ${name}`,
    sql,
    of: address('relation', table),
  }));
}

export async function readIndexAttachments(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      child: 'i.inhrelid',
      parent: 'i.inhparent',
      childName: qualified('cn.nspname', 'c.relname'),
      parentName: qualified('pn.nspname', 'p.relname'),
    },
    `from pg_inherits i
       join pg_class c on c.oid = i.inhrelid join pg_namespace cn on cn.oid = c.relnamespace
       join pg_class p on p.oid = i.inhparent join pg_namespace pn on pn.oid = p.relnamespace
     where p.relkind = 'I' and ${isOwn('pg_class', 'c', 'cn.oid')}`,
  );
  return records.map(({ child, parent, childName, parentName }) => ({
    id: address('relation', child, 'attach'),
    kind: 'attachIndex',
    object: `partition ${childName} of index ${parentName}`,
    sql: `ALTER INDEX ${parentName} ATTACH PARTITION ${childName}`,
    of: [address('relation', parent), address('relation', child)],
  }));
}

/** How a table marks its rows in the log, and by which index it was last clustered. */
export async function readIdentities(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      table: 'c.oid',
      name: qualified('n.nspname', 'c.relname'),
      identity: `case when c.relreplident = 'i' and i.oid is null then 'd' else c.relreplident end`,
      identityIndex: `coalesce(i.oid::text, '')`,
      identityName: `coalesce(quote_ident(i.relname), '')`,
      cluster: `coalesce(k.oid::text, '')`,
      clusterName: `coalesce(quote_ident(k.relname), '')`,
    },
    `from pg_class c join pg_namespace n on n.oid = c.relnamespace
       left join (pg_index ix join pg_class i on i.oid = ix.indexrelid)
         on ix.indrelid = c.oid and ix.indisreplident and c.relreplident = 'i'
       left join (pg_index kx join pg_class k on k.oid = kx.indexrelid) on kx.indrelid = c.oid and kx.indisclustered
     where c.relkind in ('r', 'p', 'm') and c.relpersistence <> 't' and (c.relreplident in ('f', 'n') or i.oid is not null or k.oid is not null)
       and ${isOwnSchema('n.oid')}`,
  );
  return records.flatMap(({ table, name, identity, identityIndex, identityName, cluster, clusterName }) => {
    const item = (suffix: string, object: string, action: string, needs: string): Item => ({
      id: address('relation', table, suffix),
      kind: 'identity',
      object: `${object} of table ${name}`,
      sql: `ALTER TABLE ONLY ${name} ${action}`,
      of: address('relation', table),
      needs: needs === '' ? [] : [address('relation', needs)],
    });
    const action = { f: 'FULL', n: 'NOTHING', i: `USING INDEX ${identityName}` }[identity];
    return [
      ...(action === undefined
        ? []
        : [item('identity', 'replica identity', `REPLICA IDENTITY ${action}`, identityIndex)]),
      ...(cluster === '' ? [] : [item('cluster', 'cluster', `CLUSTER ON ${clusterName}`, cluster)]),
    ];
  });
}

export async function readStatistics(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 's.oid',
      table: 's.stxrelid',
      name: qualified('n.nspname', 's.stxname'),
      sql: 'pg_get_statisticsobjdef(s.oid)',
      target: `coalesce(nullif(s.stxstattarget, -1)::text, '')`,
    },
    `from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace where ${isOwn('pg_statistic_ext', 's', 'n.oid')}`,
  );
  return records.flatMap(({ oid, table, name, sql, target }): Item[] => [
    {
      id: address('statistics', oid),
      kind: 'statistics',
      object: `statistics ${name}`,
      sql,
      of: address('relation', table),
    },
    ...(target === ''
      ? []
      : [
          {
            id: address('statistics', oid, 'target'),
            kind: 'statistics' as const,
            object: `target of statistics ${name}`,
            sql: `ALTER STATISTICS ${name} SET STATISTICS ${target}`,
            of: address('statistics', oid),
          },
        ]),
  ]);
}
