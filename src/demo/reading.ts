import type { Connection } from '../engine/postgres/connect.ts';
import { type Lsn, parseLsn } from '../engine/postgres/lsn.ts';
import { seed } from './schema.ts';

/** What one statement, and so one instant, showed of the secondary. */
export interface Reading {
  /** Transactions of each client, from 1. */
  readonly counts: readonly number[];
  /** The place in the primary's log that the secondary equals. Undefined while it is still being copied to. */
  readonly position: Lsn | undefined;
  /** What an exact prefix of the primary's commits could never show. Empty: nothing is torn. */
  readonly torn: readonly string[];
}

/** Each part counts what may not be. Orders: the newest only, so that a reading costs the same after an hour; the proofs compare all. */
const checks = {
  'money was made or lost': `select (sum(balance) <> ${seed.accounts * seed.balance})::int from shop.accounts`,
  'goods were made or lost': `select count(*) from shop.stock s join shop.products p on p.id = s.product
    where s.on_hand + p.ordered <> ${seed.onHand}`,
  'an order without its lines': `select count(*) from (select id, total, lines from shop.orders order by id desc limit 200) o,
    lateral (select coalesce(sum(amount), 0) as amount, count(*) as lines from shop.order_lines where order_id = o.id) l
    where (o.total, o.lines) <> (l.amount, l.lines)`,
  'a counter without its transfer': `select count(*) from shop.clients c
    where c.counter <> coalesce((select max(counter) from shop.transfers where client = c.client), 0)`,
  'a transaction without those committed before it began': `select count(*) from shop.clients c
    join shop.transfers t on (t.client, t.counter) = (c.client, c.counter),
    unnest(t.seen) with ordinality as s(counter, client) join shop.clients d on d.client = s.client where d.counter < s.counter`,
};

const readingSql = `select
  (select string_agg(counter::text, ',' order by client) from shop.clients),
  (select position_token from changeover.checkpoint order by position_token limit 1),
  ${Object.values(checks)
    .map((check) => `(${check})`)
    .join(',\n  ')}`;

/** Reads the secondary at one instant. Throws what `failure` makes of an error: TARGET_TABLE_DIFFERS before there are tables. */
export async function readSecondary(connection: Connection): Promise<Reading> {
  const [row] = await connection.rows(readingSql);
  const [counts, token, ...counted] = row ?? [];
  const names = Object.keys(checks);
  return {
    counts: counts ? counts.split(',').map(Number) : [],
    position: token ? parseLsn(token) : undefined,
    torn: names.filter((_, index) => counted[index] !== '0'),
  };
}

/** What one statement showed of the primary. */
export interface PrimarySample {
  /** All transactions visible to the statement are committed before this place. */
  readonly flushed: Lsn;
  /** What the log has for certain: the primary was told that it may forget up to here. Undefined before there is a slot. */
  readonly captured: Lsn | undefined;
  readonly transactions: number;
}

/** The counters are read first: PostgreSQL takes a statement's snapshot before it runs its functions. */
const sampleSql = `select pg_current_wal_flush_lsn(), sum(counter),
  (select confirmed_flush_lsn from pg_replication_slots where slot_name = $1) from shop.clients`;

export async function samplePrimary(connection: Connection, slot: string): Promise<PrimarySample> {
  const [row] = await connection.rows(sampleSql, [slot]);
  return {
    flushed: parseLsn(row?.[0] ?? ''),
    transactions: Number(row?.[1]),
    captured: row?.[2] ? parseLsn(row[2]) : undefined,
  };
}
