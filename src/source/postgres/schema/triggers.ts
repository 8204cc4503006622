import type { Connection } from '../../../engine/postgres/connect.ts';
import { isNoMember, isOwnSchema, qualified, readRecords } from './catalog.ts';
import { type Address, address, type IsCopied, type Item } from './item.ts';

/** By pg_trigger.tgenabled and pg_rewrite.ev_enabled: when a trigger or rule fires. */
const enabled: Readonly<Record<string, string>> = {
  D: 'DISABLE',
  O: 'ENABLE',
  R: 'ENABLE REPLICA',
  A: 'ENABLE ALWAYS',
};

/** Triggers that a user made, at the highest level of a partition tree that is copied; the server spreads them. A partition's
 *  trigger that fires otherwise than its parent's is set so. */
export async function readTriggers(connection: Connection, isCopied: IsCopied): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 't.oid',
      table: 'c.oid',
      tableName: qualified('n.nspname', 'c.relname'),
      name: 'quote_ident(t.tgname)',
      sql: 'pg_get_triggerdef(t.oid)',
      parent: `coalesce(p.oid::text, '')`,
      parentTable: `coalesce(p.tgrelid::text, '')`,
      enabled: 't.tgenabled',
      parentEnabled: `coalesce(p.tgenabled, 'O')`,
    },
    `from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
       left join pg_trigger p on p.oid = t.tgparentid
     -- Before version 15 a partition's trigger is marked internal, as those of foreign keys are everywhere.
     where (not t.tgisinternal or (t.tgparentid <> 0 and t.tgconstraint = 0)) and ${isOwnSchema('n.oid')} and ${isNoMember('pg_class', 'c.oid')}`,
  );
  const isSpread = ({ parentTable }: { readonly parentTable: string }): boolean => isCopied(parentTable);
  const changed = new Set(
    records
      .filter((record) => record.enabled !== (isSpread(record) ? record.parentEnabled : 'O'))
      .map((record) => record.oid),
  );
  const byOid = new Map(records.map((record) => [record.oid, record]));
  /** The statement by which a partition's trigger last changed: it goes down to all below it. */
  const lastAbove = (oid: string): Address => {
    const record = byOid.get(oid);
    if (changed.has(oid)) return address('trigger', oid, 'enabled');
    return record && isSpread(record) ? lastAbove(record.parent) : address('trigger', oid);
  };
  return records.flatMap((record): Item[] => {
    const { oid, table, tableName, name, sql, parent } = record;
    const owner = address('relation', table);
    const trigger: Item = {
      id: address('trigger', oid),
      kind: 'trigger',
      object: `trigger ${name} on ${tableName}`,
      sql,
      of: owner,
    };
    const state: Item = {
      id: address('trigger', oid, 'enabled'),
      kind: 'enabled',
      object: `state of trigger ${name} on ${tableName}`,
      sql: `ALTER TABLE ${tableName} ${enabled[record.enabled] ?? 'ENABLE'} TRIGGER ${name}`,
      of: isSpread(record) ? owner : trigger.id,
      needs: isSpread(record) ? [lastAbove(parent)] : [],
    };
    return [...(isSpread(record) ? [] : [trigger]), ...(changed.has(oid) ? [state] : [])];
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
