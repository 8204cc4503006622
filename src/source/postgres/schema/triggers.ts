import type { Connection } from '../../../engine/postgres/connect.ts';
import { isNoMember, isOwnSchema, qualified, readRecords } from './catalog.ts';
import { address, type Item } from './item.ts';

/** By pg_trigger.tgenabled and pg_rewrite.ev_enabled: when a trigger or rule fires. */
const enabled: Readonly<Record<string, string>> = {
  D: 'DISABLE',
  O: 'ENABLE',
  R: 'ENABLE REPLICA',
  A: 'ENABLE ALWAYS',
};

/** Triggers that a user made, at the level of a partition tree where they were made; the server spreads them. A partition's copy
 *  that fires otherwise than its parent's is set so. */
export async function readTriggers(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 't.oid',
      table: 'c.oid',
      tableName: qualified('n.nspname', 'c.relname'),
      name: 'quote_ident(t.tgname)',
      sql: `case when t.tgparentid = 0 then pg_get_triggerdef(t.oid) else '' end`,
      parent: 't.tgparentid',
      enabled: 't.tgenabled',
      usually: `coalesce(p.tgenabled, 'O')`,
    },
    `from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
       left join pg_trigger p on p.oid = t.tgparentid
     where (not t.tgisinternal or t.tgparentid <> 0) and not coalesce(p.tgisinternal and p.tgparentid = 0, false)
       and (t.tgparentid = 0 or not exists (select from pg_constraint k where k.oid = t.tgconstraint and k.contype = 'f'))
       and ${isOwnSchema('n.oid')} and ${isNoMember('pg_class', 'c.oid')}`,
  );
  const changed = new Set(records.filter((record) => record.enabled !== record.usually).map(({ oid }) => oid));
  return records.flatMap((record): Item[] => {
    const { oid, table, tableName, name, sql, parent } = record;
    const owner = address('relation', table);
    const state: Item = {
      id: address('trigger', oid, 'enabled'),
      kind: 'enabled',
      object: `state of trigger ${name} on ${tableName}`,
      sql: `ALTER TABLE ${tableName} ${enabled[record.enabled] ?? 'ENABLE'} TRIGGER ${name}`,
      of: parent === '0' ? address('trigger', oid) : owner,
      // The parent's statement goes down to its partitions: what differs there is said afterwards.
      needs: parent === '0' ? [] : [address('trigger', parent, changed.has(parent) ? 'enabled' : '')],
    };
    const trigger: Item = {
      id: address('trigger', oid),
      kind: 'trigger',
      object: `trigger ${name} on ${tableName}`,
      sql,
      of: owner,
    };
    return [...(parent === '0' ? [trigger] : []), ...(changed.has(oid) ? [state] : [])];
  });
}

/** Rules besides the one that makes a view. */
export async function readRules(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 'r.oid',
      relation: 'c.oid',
      relationName: qualified('n.nspname', 'c.relname'),
      name: 'quote_ident(r.rulename)',
      sql: `rtrim(pg_get_ruledef(r.oid), ';')`,
      enabled: 'r.ev_enabled',
    },
    `from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
     where r.rulename <> '_RETURN' and ${isOwnSchema('n.oid')} and ${isNoMember('pg_class', 'c.oid')}`,
  );
  return records.flatMap((record): Item[] => {
    const { oid, relation, relationName, name, sql } = record;
    const rule: Item = {
      id: address('rule', oid),
      kind: 'rule',
      object: `rule ${name} on ${relationName}`,
      sql,
      of: address('relation', relation),
    };
    const state: Item = {
      id: address('rule', oid, 'enabled'),
      kind: 'enabled',
      object: `state of rule ${name} on ${relationName}`,
      sql: `ALTER TABLE ${relationName} ${enabled[record.enabled] ?? 'ENABLE'} RULE ${name}`,
      of: address('rule', oid),
    };
    return record.enabled === 'O' ? [rule] : [rule, state];
  });
}
