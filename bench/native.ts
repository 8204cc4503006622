import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '../src/engine/postgres/connect.ts';
import { quoteLiteral } from '../src/engine/postgres/identifier.ts';
import { type Pair, primaryDatabase, slotIsFree } from './pair.ts';

export const publication = 'native';
const waitMs = 20;

/** PostgreSQL's own subscription into the database `native` of the secondary, with its defaults (streaming = parallel,
 *  synchronous_commit = off, binary = false). */
export interface Native {
  readonly database: string;
  enable(): Promise<void>;
  /** Returns when its processes are gone. */
  disable(): Promise<void>;
}

/** Subscribes and waits for the first copy; it is disabled then. `primary` and `there` are sessions of the two databases. */
export async function subscribeNative(
  pair: Pair,
  { primary, there, tables }: { primary: Connection; there: Connection; tables: readonly string[] },
): Promise<Native> {
  const database = 'native';
  await primary.rows(
    `CREATE PUBLICATION ${publication} FOR TABLE ${tables.map((name) => `public.${name}`).join(', ')}`,
  );
  const from = quoteLiteral(pair.primary.url(primaryDatabase));
  await there.rows(`CREATE SUBSCRIPTION native CONNECTION ${from} PUBLICATION ${publication}`);
  const until = async (sql: string): Promise<void> => {
    while ((await there.rows(sql))[0]?.[0] !== 't') await sleep(waitMs);
  };
  await until(`SELECT bool_and(srsubstate = 'r') FROM pg_catalog.pg_subscription_rel`);
  const native = {
    database,
    async enable() {
      await there.rows('ALTER SUBSCRIPTION native ENABLE');
    },
    async disable() {
      await there.rows('ALTER SUBSCRIPTION native DISABLE');
      await until('SELECT count(*) = 0 FROM pg_catalog.pg_stat_subscription WHERE pid IS NOT NULL');
      await slotIsFree(primary, 'native');
    },
  };
  await native.disable();
  return native;
}
