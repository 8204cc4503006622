import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { clockFindings, versionFindings } from '../../../src/engine/postgres/access.ts';
import type { Finding } from '../../../src/finding.ts';
import { judge } from '../../../src/source/postgres/check.ts';
import { readFacts } from '../../../src/source/postgres/facts.ts';
import { openSourceInspector } from '../../../src/source/postgres/inspect.ts';
import { generations, never, open, paste, run, serverOf } from '../../servers/postgres.ts';

async function check(url: string): Promise<ReadonlyMap<string, Finding>> {
  await using inspector = openSourceInspector({ url, name: 'lane', wanted: () => true });
  return new Map((await inspector.check(never)).map((one) => [one.check, one]));
}

for (const generation of generations)
  suite(`settings of a source, ${generation}`, () => {
    test('a server with the defaults is made fit by pasting the cures and restarting once', async (t) => {
      const settings = { wal_level: 'replica', max_replication_slots: '1', max_wal_senders: '0' };
      await using server = await serverOf(generation, t, settings);
      if (server === undefined) return;
      await run(server.url(), "SELECT pg_create_physical_replication_slot('other')");
      const before = await check(server.url());
      assert.deepEqual([...before.keys()], ['wal-level', 'replication-slots', 'wal-senders', 'wal-keep-size']);
      for (const { cure } of before.values()) await paste(server.url(), cure);
      assert.deepEqual([...(await check(server.url())).keys()], ['wal-level', 'replication-slots', 'wal-senders']);
      await server.stop('fast');
      assert.equal((await check(server.url())).get('reachable')?.code, 'SOURCE_UNREACHABLE');
      await server.start();
      assert.deepEqual([...(await check(server.url())).keys()], []);
    });

    test('a slot that the server gave up is a blocker, and named with what brings its lane back', async (t) => {
      const settings = { max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB' };
      await using server = await serverOf(generation, t, settings);
      if (server === undefined) return;
      const url = server.url();
      await run(url, "SELECT pg_create_logical_replication_slot('changeover_lane', 'pgoutput')");
      await run(url, 'CREATE TABLE public.t (a int)');
      for (let segment = 0; segment < 5; segment += 1)
        await run(url, 'INSERT INTO public.t VALUES (1)', 'SELECT pg_switch_wal()');
      await run(url, 'CHECKPOINT');
      const lost = (await check(url)).get('slot-lost');
      assert.deepEqual([lost?.severity, lost?.code], ['blocker', 'SOURCE_SLOT_LOST']);
      await using inspector = openSourceInspector({ url, name: 'lane', wanted: () => true });
      assert.equal((await inspector.observe(never)).acknowledged, undefined);
      // It drops the slot itself, once it has another one: test/end-to-end/resync.test.ts.
      assert.match(lost?.cure ?? '', /^-- changeover resync$/m);
    });

    test('a standby is a blocker, and its cure promotes nothing when pasted', async (t) => {
      await using server = await serverOf(generation, t);
      if (server === undefined) return;
      await server.stop('fast');
      await writeFile(join(server.folder, 'data', 'standby.signal'), '');
      await server.start();
      const standby = (await check(server.url())).get('recovery');
      assert.equal(standby?.severity, 'blocker');
      await paste(server.url(), standby.cure);
      assert.equal((await check(server.url())).has('recovery'), true);
      await using inspector = openSourceInspector({ url: server.url(), name: 'lane', wanted: () => true });
      await assert.rejects(inspector.observe(never), { code: 'SOURCE_UNSUITABLE' });
      await run(server.url(), 'SELECT pg_promote()');
      assert.equal((await check(server.url())).has('recovery'), false);
    });
  });

test('a version that is too old stops, one that is too new warns', () => {
  assert.deepEqual(
    [130_021, 140_000, 180_004, 190_000].map((version) => versionFindings('SOURCE', version)[0]?.severity),
    ['blocker', undefined, undefined, 'warning'],
  );
});

test('a clock that differs is a note and no more', () => {
  assert.deepEqual(clockFindings(10_500, 10_000), []);
  const [found] = clockFindings(10_000, 15_000);
  assert.equal(found?.severity, 'note');
  assert.match(found.message, /5000 ms behind/);
});

test('a long writing transaction is named by its process while there is no slot yet', async (t) => {
  await using server = await serverOf('PostgreSQL 18', t);
  if (server === undefined) return;
  await using connection = await open(server.url());
  const facts = await readFacts(connection, { slot: 'changeover_lane', publication: 'changeover_lane' });
  const names = {
    slot: 'changeover_lane',
    publication: 'changeover_lane',
    wanted: () => true,
    walBudgetBytes: undefined,
  };
  const long = judge({ ...facts, writers: [{ pid: 4711, ageS: 90 }] }, names).find(
    (one) => one.check === 'long-transactions',
  );
  assert.equal(long?.severity, 'note');
  assert.match(long.message, /Process 4711 .* 90 s/);
});

test('beside a slot, only a transaction that stays prepared for long is told: it holds the log', async (t) => {
  await using server = await serverOf('PostgreSQL 18', t);
  if (server === undefined) return;
  const url = server.url();
  await run(url, "SELECT pg_create_logical_replication_slot('changeover_lane', 'pgoutput')");
  await using connection = await open(url);
  const names = { slot: 'changeover_lane', publication: 'changeover_lane', wanted: () => true };
  const facts = await readFacts(connection, names);
  const one = (gid: string, ageS: number) => ({ gid, database: 'postgres', ageS });
  const told = judge(
    { ...facts, prepared: [one('new', 10), one('old', 4000)] },
    { ...names, walBudgetBytes: undefined },
  );
  const found = told.find(({ check }) => check === 'prepared-transactions');
  assert.match(found?.message ?? '', /^1 prepared .* 4000 s: the primary keeps its log/);
  assert.match(found?.cure ?? '', /COMMIT PREPARED 'old'/);
  assert.doesNotMatch(found?.cure ?? '', /'new'/);
});
