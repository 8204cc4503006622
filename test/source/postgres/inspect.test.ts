import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { isBefore, type Position } from '../../../src/change/position.ts';
import { type Connection, connect } from '../../../src/engine/postgres/connect.ts';
import { formatLsn } from '../../../src/engine/postgres/lsn.ts';
import { openSourceInspector, type SourceInspectorOptions } from '../../../src/source/postgres/inspect.ts';
import { namesOf } from '../../../src/source/postgres/names.ts';
import { WalStream } from '../../../src/source/postgres/wal.ts';
import type { SourceInspector } from '../../../src/source/source.ts';
import { openServer } from '../../servers/clusters.ts';
import { never, open, run } from '../../servers/postgres.ts';

const server = await openServer();
after(() => server[Symbol.asyncDispose]());
const url = server.url();
const inspectorOf = (more: Partial<SourceInspectorOptions> = {}): SourceInspector =>
  openSourceInspector({ url, name: 'lane', wanted: () => true, ...more });

/** The ends of the commits that a reader of the slot gets, as LSNs, in their order. */
async function commitEnds(slot: string): Promise<bigint[]> {
  const rows = await run(
    url,
    `SELECT encode(data, 'hex') FROM pg_logical_slot_peek_binary_changes('${slot}', NULL, NULL,
       'proto_version', '1', 'publication_names', 'everything', 'messages', 'true')`,
  );
  // Commit: 'C', flags, LSN of the commit, end LSN of the transaction, time.
  return rows
    .map(([hex]) => Buffer.from(hex ?? '', 'hex'))
    .filter((data) => data[0] === 0x43)
    .map((data) => data.readBigUInt64BE(10));
}

test('a marker lies behind all that was committed before, and its own commit reaches it', async () => {
  await run(url, 'CREATE TABLE public.t (a int PRIMARY KEY)', 'CREATE PUBLICATION everything FOR ALL TABLES');
  await run(url, "SELECT pg_create_logical_replication_slot('marks', 'pgoutput')");
  await using inspector = inspectorOf();
  const marks: Position[] = [];
  for (const a of [1, 2, 3]) {
    await run(url, `INSERT INTO public.t VALUES (${a})`);
    marks.push(await inspector.mark(never));
  }
  // Per round two commits: the insert's, which ends at or before the mark, and the marker's, which ends behind it.
  const ends = await commitEnds('marks');
  assert.equal(ends.length, 6);
  for (const [round, mark] of marks.entries()) {
    const at = (index: number): Position => ({ ...mark, order: ends[index] ?? -1n });
    assert.ok(isBefore(at(2 * round), mark), `the insert of round ${round} ends before its mark`);
    assert.ok(isBefore(mark, at(2 * round + 1)), `the marker of round ${round} ends behind its mark`);
    assert.equal(mark.token, formatLsn(mark.order));
  }
});

test('under load, no commit that a client was told of before the call lies behind the marker', async () => {
  await run(url, 'CREATE TABLE public.counters (client int, n int, PRIMARY KEY (client, n))');
  await run(url, "SELECT pg_create_logical_replication_slot('loaded', 'pgoutput')");
  await using inspector = inspectorOf();
  const acknowledged = [0, 0, 0];
  const stop = new AbortController();
  // Told before their commits are on disk: told is told.
  const insert = async (client: number, connection: Connection): Promise<void> => {
    const n = (acknowledged[client] ?? 0) + 1;
    await connection.rows(`INSERT INTO public.counters VALUES (${client}, ${n})`);
    acknowledged[client] = n;
  };
  const connected = async (): Promise<Connection> => {
    const connection = await open(url);
    await connection.rows('SET synchronous_commit = off');
    return connection;
  };
  const clients = [1, 2].map(async (client) => {
    await using connection = await connected();
    while (!stop.signal.aborted) await insert(client, connection);
  });
  await using own = await connected();
  const marks: { told: number; mark: Position }[] = [];
  while (marks.length < 50) {
    await insert(0, own);
    const told = acknowledged.reduce((sum, n) => sum + n, 0);
    marks.push({ told, mark: await inspector.mark(never) });
  }
  stop.abort();
  await Promise.all(clients);
  await inspector.mark(never);
  const ends = await commitEnds('loaded');
  for (const [index, { told, mark }] of marks.entries()) {
    const reached = ends.filter((end) => end <= mark.order).length;
    // Of those commits, `index` are earlier markers'.
    assert.ok(reached - index >= told, `mark ${index}: ${told} commits told, ${reached - index} reached`);
  }
});

test('observes what the slot holds, and that nothing is held without one', async () => {
  await using inspector = inspectorOf();
  const before = await inspector.observe(never);
  assert.deepEqual(
    [before.acknowledged, before.notCapturedBytes, before.retainedBytes, before.reading],
    [undefined, undefined, 0, false],
  );
  await run(url, "SELECT pg_create_logical_replication_slot('changeover_lane', 'pgoutput')");
  const mark = await inspector.mark(never);
  const during = await inspector.observe(never);
  assert.ok(during.acknowledged && isBefore(during.acknowledged, mark) && isBefore(mark, during.position));
  assert.ok((during.notCapturedBytes ?? 0) > 0 && during.retainedBytes >= (during.notCapturedBytes ?? 0));
  assert.equal(during.retainedBytesMax, undefined);
});

test('says how safe what is kept is, and lets go of it though somebody reads it', async () => {
  await run(url, `ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'`, 'SELECT pg_reload_conf()');
  await using walsender = await connect({ url, side: 'SOURCE', application: 'test', replication: true }, never);
  await walsender.rows('CREATE_REPLICATION_SLOT changeover_kept LOGICAL pgoutput NOEXPORT_SNAPSHOT');
  await using inspector = inspectorOf({ name: 'kept' });
  const { kept, safeBytes = 0, retainedBytesMax } = await inspector.observe(never);
  assert.equal(kept, 'reserved');
  assert.equal(retainedBytesMax, 64 * 1024 ** 2);
  assert.ok(safeBytes > 0 && safeBytes <= 128 * 1024 ** 2, `${safeBytes}`);
  await run(url, 'ALTER SYSTEM RESET max_slot_wal_keep_size', 'SELECT pg_reload_conf()');
  await run(url, 'CREATE PUBLICATION changeover_kept FOR ALL TABLES');
  using wal = new WalStream(walsender, { silenceMsMax: 60_000 });
  await wal.start(
    `START_REPLICATION SLOT changeover_kept LOGICAL 0/0 (proto_version '1', publication_names 'changeover_kept')`,
  );
  await wal.take();
  assert.equal((await inspector.observe(never)).reading, true);
  await inspector.abandon(never);
  await inspector.abandon(never);
  const { kept: none, acknowledged } = await inspector.observe(never);
  assert.deepEqual([none, acknowledged], [undefined, undefined]);
});

test('takes away its slot and publication, and again, and leaves what others made', async () => {
  await run(
    url,
    'CREATE PUBLICATION changeover_gone FOR ALL TABLES',
    "SELECT pg_create_logical_replication_slot('changeover_gone', 'pgoutput')",
  );
  await using inspector = inspectorOf({ name: 'gone' });
  await inspector.forget(never);
  await inspector.forget(never);
  const left = await run(url, 'SELECT pubname FROM pg_publication UNION SELECT slot_name FROM pg_replication_slots');
  assert.equal(left.flat().includes('changeover_gone'), false);
  assert.equal(left.flat().includes('everything'), true);
});

test('keeps a slot that somebody reads, and says who may be asked', async () => {
  await using holder = await open(url);
  await holder.rows("SELECT pg_create_logical_replication_slot('changeover_busy', 'pgoutput', true)");
  await using inspector = inspectorOf({ name: 'busy' });
  await assert.rejects(inspector.forget(never), { code: 'SOURCE_SLOT_BUSY' });
});

test('tells what the secondary must be able to hold', async () => {
  await run(url, 'CREATE DATABASE profiled');
  const profiled = server.url('profiled');
  await run(
    profiled,
    'CREATE ROLE seller',
    "CREATE TYPE public.mood AS ENUM ('glad')",
    'CREATE TABLE public.t (a numeric(10,2) PRIMARY KEY, b int GENERATED ALWAYS AS (1) STORED, c public.mood[])',
    'GRANT SELECT ON public.t TO seller',
    'CREATE UNLOGGED TABLE public.left_out (a int)',
  );
  await using inspector = inspectorOf({ url: profiled });
  const { tables, roles, encoding, collation, origin } = await inspector.profile(never);
  const columns = [
    { name: 'a', type: 'numeric(10,2)', generated: undefined },
    { name: 'b', type: 'integer', generated: 'GENERATED ALWAYS AS (1) STORED' },
    { name: 'c', type: 'public.mood[]', generated: undefined },
  ];
  assert.deepEqual(tables, [{ schema: 'public', name: 't', columns }]);
  assert.deepEqual(roles, ['postgres', 'seller']);
  assert.deepEqual([encoding, collation.provider, collation.collate], ['UTF8', 'libc', 'C']);
  assert.equal(origin, (await inspector.observe(never)).position.origin);
});

test('answers again after the server cut its idle connection, and stops when told', async () => {
  await using inspector = inspectorOf();
  await inspector.observe(never);
  await run(
    url,
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'changeover inspect'",
  );
  await inspector.observe(never);
  await assert.rejects(inspector.observe(AbortSignal.abort()), { name: 'AbortError' });
  await inspector.observe(never);
});

test('a lane is named so that a slot can carry its name', () => {
  assert.deepEqual(namesOf('shop_1'), { slot: 'changeover_shop_1', publication: 'changeover_shop_1' });
  assert.equal(namesOf('a'.repeat(52)).slot.length, 63);
  for (const lane of ['', 'Shop', 'a-b', 'a"b', 'a'.repeat(53)])
    assert.throws(() => namesOf(lane), { code: 'CONFIG_INVALID' });
});
