import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Position } from '../../../src/change/position.ts';
import type { PostgresServer } from '../../../src/demo/postgres-server.ts';
import { timelineOf } from '../../../src/engine/postgres/lsn.ts';
import { isCode } from '../../../src/error.ts';
import { judgeStandbys } from '../../../src/source/postgres/check/standby.ts';
import { openSourceInspector } from '../../../src/source/postgres/inspect.ts';
import { postgresSource } from '../../../src/source/postgres/open.ts';
import type { Source } from '../../../src/source/source.ts';
import { copyOf, readFrom, settled, type Transaction, valuesOf } from '../../conformance/source-under-test.ts';
import { openServer } from '../../servers/clusters.ts';
import { never, paste, run, urlWith } from '../../servers/postgres.ts';
import { follow } from '../../servers/standby.ts';

/* A physical standby of the primary is promoted, and capture goes on there, or says why it cannot. */

const sourceOf = (url: string): Source => postgresSource({ url, name: 'lane', wanted: () => true, heartbeatMs: 200 });

const sourceAt = (server: PostgresServer, password: string): Source => sourceOf(urlWith(server.url(), { password }));

const insert = (url: string, ...ids: readonly number[]): Promise<unknown> =>
  run(url, ...ids.map((id) => `INSERT INTO public.t VALUES (${id})`));

const idsOf = (transactions: readonly Transaction[]): number[] =>
  transactions.flatMap(({ changes }) => changes.flatMap((change) => valuesOf(change).slice(0, 1).map(Number)));

/** Reads and acknowledges, as capture does, until `isEnough`. */
async function captures(
  source: Source,
  after: Position,
  isEnough: () => Promise<boolean>,
  signal: AbortSignal,
): Promise<Position> {
  let at = after;
  for await (const { end } of source.read(after, signal)) {
    at = end ?? at;
    await source.acknowledge(at);
    if (await isEnough()) break;
  }
  return at;
}

async function replays(standby: string, primary: string): Promise<void> {
  const [[end] = []] = await run(primary, 'SELECT pg_current_wal_insert_lsn()');
  await settled(async () => (await run(standby, `SELECT pg_last_wal_replay_lsn() >= '${end}'`))[0]?.[0] === 't');
}

const refused = async (
  reading: Promise<unknown>,
  code: 'SOURCE_POSITION_LOST' | 'SOURCE_SLOT_LOST' | 'SOURCE_UNREACHABLE',
  said: RegExp,
): Promise<void> =>
  assert.rejects(reading, (error) => (isCode(error, code) && said.test(String(error))) || assert.fail(String(error)));

/** What `check` says of standbys, once it is `expected`. */
async function lacks(url: string, expected: readonly string[]): Promise<ReadonlyMap<string, string>> {
  await using inspector = openSourceInspector({ url, name: 'lane', wanted: () => true });
  const told = new Map<string, string>();
  await settled(async () => {
    told.clear();
    for (const { check, cure = '' } of await inspector.check(never))
      if (/^standby-|^slot-failover/.test(check)) told.set(check, cure);
    return String([...told.keys()]) === String(expected);
  });
  return told;
}

test('a check names what a standby lacks that is to keep our slot, with what mends it', async ({ signal }) => {
  await using primary = await openServer();
  await using standby = await openServer();
  const url = primary.url();
  const there = urlWith(standby.url(), { password: primary.password });
  await run(url, 'CREATE TABLE public.t (id int PRIMARY KEY)');
  await follow(standby, primary);
  await using source = sourceOf(url);
  const { at } = await copyOf(source, signal);
  await lacks(url, ['slot-failover', 'standby-ahead']);
  await insert(url, 1);
  await readFrom(source, { after: at, enough: 1 }, signal);
  const ahead = await lacks(url, ['standby-ahead']);
  await paste(url, ahead.get('standby-ahead'));
  await lacks(url, []);
  let told: ReadonlyMap<string, string> = new Map();
  for (const [setting, expected] of [
    ['sync_replication_slots', ['standby-keeps-slots']],
    ['hot_standby_feedback', ['standby-feedback', 'standby-keeps-slots']],
    ['primary_slot_name', ['standby-slot', 'standby-feedback', 'standby-keeps-slots']],
  ] as const) {
    await run(there, `ALTER SYSTEM RESET ${setting}`, 'SELECT pg_reload_conf()');
    told = await lacks(url, expected);
  }
  const cures = [...told.values()].flatMap((cure) => cure.match(/ALTER SYSTEM SET [^;]+/g) ?? []);
  assert.deepEqual(cures, [
    "ALTER SYSTEM SET primary_slot_name = 'standby'",
    'ALTER SYSTEM SET hot_standby_feedback = on',
    'ALTER SYSTEM SET sync_replication_slots = on',
  ]);
});

test('a check says of standbys what it could not look at, and of a slot that it stays behind', () => {
  const standby = { name: 'walreceiver', slot: 'standby', feedback: true, keepsSlots: true };
  const facts = { standbys: [standby], isFailover: true, waitedFor: ['standby'] };
  const told = (other: Partial<typeof facts>): string[] =>
    judgeStandbys({ ...facts, ...other }).map(({ check }) => check);
  assert.deepEqual(told({}), []);
  assert.deepEqual(told({ isFailover: false }), ['slot-failover']);
  assert.deepEqual(told({ isFailover: false, standbys: [] }), []);
  const [hidden] = judgeStandbys({ ...facts, standbys: [standby, { ...standby, name: null, keepsSlots: false }] });
  assert.deepEqual([hidden?.severity, hidden?.check], ['note', 'standby-hidden']);
  const [ahead] = judgeStandbys({ ...facts, waitedFor: ['other'] });
  assert.match(ahead?.cure ?? '', /synchronized_standby_slots = 'other, standby'/);
});

test('after a promotion capture goes on from before it, and stops where the log is ahead of the server', async ({
  signal,
}) => {
  await using primary = await openServer();
  await using standby = await openServer();
  const url = primary.url();
  const { password } = primary;
  const there = urlWith(standby.url(), { password });
  await run(url, 'CREATE TABLE public.t (id int PRIMARY KEY)');
  await follow(standby, primary);
  await using source = sourceAt(primary, password);
  await using after = sourceAt(standby, password);
  await using either = sourceOf(`${there}?hosts=${new URL(url).host}`);
  const { at } = await copyOf(source, signal);
  await insert(url, 1, 2, 3);
  const captured = await readFrom(source, { after: at, enough: 3 }, signal);
  assert.deepEqual(idsOf(await readFrom(either, { after: at, enough: 3 }, signal)), [1, 2, 3]);
  const [, , last] = captured;
  assert.ok(last);
  // The standby keeps the slot once the slot needs nothing any more that the standby has not got.
  const before = await captures(
    source,
    last.position,
    async () => {
      await run(url, 'SELECT pg_log_standby_snapshot()');
      await replays(there, url);
      return (
        (await run(there, `SELECT FROM pg_replication_slots WHERE slot_name ~ 'lane' AND NOT temporary`)).length > 0
      );
    },
    signal,
  );
  await refused(readFrom(after, { after: before, enough: 1 }, signal), 'SOURCE_UNREACHABLE', /is a standby/);
  // Committed and on the standby, but not captured.
  await insert(url, 4, 5);
  await replays(there, url);
  await standby.stop('fast');
  // Captured, but not on the standby.
  await insert(url, 6);
  const ahead = (await readFrom(source, { after: before, enough: 3 }, signal)).at(-1)?.position;
  assert.ok(ahead);
  await primary.stop('kill');
  await standby.start();
  await run(there, 'SELECT pg_promote()');
  await insert(there, 7, 8);
  const news = await readFrom(after, { after: before, enough: 4 }, signal);
  assert.deepEqual(idsOf([...captured, ...news]), (await run(there, 'SELECT id FROM public.t')).flat().map(Number));
  assert.deepEqual(idsOf(news), [4, 5, 7, 8]);
  assert.deepEqual(idsOf(await readFrom(either, { after: before, enough: 4 }, signal)), [4, 5, 7, 8]);
  const leads = news.at(-1)?.position;
  assert.ok(leads && timelineOf(leads) === 2);
  await refused(
    readFrom(after, { after: ahead, enough: 1 }, signal),
    'SOURCE_POSITION_LOST',
    /promoted to timeline 2 and left timeline 1 at .* holds transactions that this server never had/,
  );
  // Once there, it goes on there, and only there.
  await insert(there, 9);
  assert.deepEqual(idsOf(await readFrom(after, { after: leads, enough: 1 }, signal)), [9]);
  await primary.start();
  await insert(url, 10);
  await refused(
    readFrom(source, { after: { ...leads, order: before.order }, enough: 1 }, signal),
    'SOURCE_POSITION_LOST',
    /timeline 2, which is not in the past of this server on timeline 1/,
  );
  await run(there, `SELECT pg_drop_replication_slot('changeover_lane')`);
  await refused(
    readFrom(after, { after: before, enough: 1 }, signal),
    'SOURCE_SLOT_LOST',
    /was promoted to timeline 2/,
  );
});
