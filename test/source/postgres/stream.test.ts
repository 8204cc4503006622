import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Batch, Change } from '../../../src/change/change.ts';
import { cells } from '../../../src/change/row.ts';
import { copyOf, readFrom, rejects, settled, valuesOf } from '../../conformance/source-under-test.ts';
import { open } from '../../servers/postgres.ts';
import { sharedServer } from '../../servers/shared.ts';
import { primary, slot } from './primary.ts';

/* What the stream of PostgreSQL can be, beyond what every source is. */

const server = sharedServer({
  settings: { min_wal_size: '32MB', max_wal_size: '48MB', wal_keep_size: '0', max_prepared_transactions: '2' },
});

/** A primary made by `statements`. */
async function prepared(...statements: string[]) {
  const there = primary(await server.database());
  for (const statement of statements) await there.connection.rows(statement);
  return there;
}

const isRow = (change: Change) => change.kind === 'insert' || change.kind === 'update' || change.kind === 'delete';

test('a heartbeat moves the slot of an idle database, once it is acknowledged', async ({ signal }) => {
  await using there = await prepared('CREATE TABLE public.t (id int PRIMARY KEY)');
  await using source = there.open({ heartbeatMs: 20 });
  const { at } = await copyOf(source, signal);
  let beats = 0;
  for await (const batch of source.read(at, signal)) {
    assert.ok(batch.changes.every((change) => change.kind === 'message' || change.kind === 'commit'));
    if (batch.end) await source.acknowledge(batch.end);
    beats += 1;
    if (beats === 3 && batch.end) {
      const { order } = batch.end;
      await settled(async () => (await there.kept()) === order);
      break;
    }
  }
});

test('a transaction that is prepared before a restart of capture comes after it, when it is committed, once', async ({
  signal,
}) => {
  await using there = await prepared('CREATE TABLE public.t (id int PRIMARY KEY)');
  await using source = there.open();
  const { at } = await copyOf(source, signal);
  const prepare = (id: number): Promise<void> =>
    there.transact(`INSERT INTO public.t VALUES (${id})`, `PREPARE TRANSACTION 'p${id}'`);
  await prepare(1);
  await prepare(2);
  await there.transact('INSERT INTO public.t VALUES (3)');
  const acknowledges = async ({ end }: Batch): Promise<void> => {
    if (end) await source.acknowledge(end);
  };
  const [before] = await readFrom(source, { after: at, enough: 1, each: acknowledges }, signal);
  assert.ok(before);
  await using restarted = there.open();
  await there.connection.rows(`ROLLBACK PREPARED 'p2'`);
  await there.connection.rows(`COMMIT PREPARED 'p1'`);
  await there.transact('INSERT INTO public.t VALUES (4)');
  const news = await readFrom(restarted, { after: before.position, enough: 2 }, signal);
  assert.deepEqual(
    [before, ...news].map(({ changes }) => changes.filter(isRow).map((change) => valuesOf(change)[0])),
    [['3'], ['1'], ['4']],
  );
});

test('a value too long to be sent again, and not changed, comes as unchanged', async ({ signal }) => {
  await using there = await prepared(
    'CREATE TABLE public.t (id int PRIMARY KEY, v text, long text)',
    'ALTER TABLE public.t ALTER long SET STORAGE EXTERNAL',
    'CREATE TABLE public.whole (id int, long text)',
    'ALTER TABLE public.whole ALTER long SET STORAGE EXTERNAL',
  );
  await using source = there.open();
  const { at } = await copyOf(source, signal);
  await there.transact(
    `INSERT INTO public.t VALUES (1, 'a', repeat('x', 9000))`,
    `INSERT INTO public.whole VALUES (1, repeat('y', 9000))`,
  );
  await there.transact(`UPDATE public.t SET v = 'b'`, 'UPDATE public.whole SET id = 2');
  const [, second] = await readFrom(source, { after: at, enough: 2 }, signal);
  const [keyed, whole] = second?.changes ?? [];
  assert.deepEqual(valuesOf(keyed), ['1', 'b', 'unchanged']);
  assert.deepEqual(valuesOf(whole), ['2', 'unchanged']);
  assert.ok(whole?.kind === 'update' && whole.before);
  assert.equal([...cells(whole.before)][1]?.length, 9000);
});

test('rows are decoded with the shape that their table had when they were written', async ({ signal }) => {
  await using there = await prepared('CREATE TABLE public.t (id int PRIMARY KEY, a text)');
  await using source = there.open();
  const { at } = await copyOf(source, signal);
  await there.transact(`INSERT INTO public.t VALUES (1, 'a')`);
  await there.transact('ALTER TABLE public.t ADD b int, DROP a', 'INSERT INTO public.t VALUES (2, 5)');
  await there.transact('ALTER TABLE public.t RENAME TO u', 'INSERT INTO public.u VALUES (3, 6)');
  const read = await readFrom(source, { after: at, enough: 3 }, signal);
  const rows = read.flatMap(({ changes }) => changes).filter(isRow);
  assert.deepEqual(
    rows.map(({ table }) => [table.name, ...table.columns.map((column) => column.name)]),
    [
      ['t', 'id', 'a'],
      ['t', 'id', 'b'],
      ['u', 'id', 'b'],
    ],
  );
});

test('a key that is checked only at the commit identifies no row', async ({ signal }) => {
  await using there = await prepared(
    'CREATE TABLE public.t (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text)',
    `INSERT INTO public.t VALUES (1, 'a'), (2, 'b')`,
  );
  await using source = there.open();
  const copy = await copyOf(source, signal);
  // Both rows have the key 2 for a moment.
  await there.transact('UPDATE public.t SET id = id + 1');
  const [one] = await readFrom(source, { after: copy.at, enough: 1 }, signal);
  const tables = [...copy.tables, ...(one?.changes ?? []).filter(isRow).map((change) => change.table)];
  assert.equal(tables.length, 3);
  for (const table of tables) assert.deepEqual([table.identity, table.columns.some(({ key }) => key)], ['full', false]);
});

for (const [what, wanted] of [
  ['all tables are wanted', () => true],
  ['one is not', ({ name }: { name: string }) => name !== 'no'],
] as const)
  test(`where ${what}, our own tables and those of an extension stay away, in the copy and in the stream`, async ({
    signal,
  }) => {
    await using there = await prepared(
      'CREATE TABLE public.no (id int PRIMARY KEY)',
      'CREATE TABLE public.yes (id int PRIMARY KEY)',
      'CREATE SCHEMA changeover',
      'CREATE TABLE changeover.checkpoint (id int PRIMARY KEY)',
      'CREATE EXTENSION citext SCHEMA public',
      'CREATE TABLE public.belongs (id int PRIMARY KEY)',
      'ALTER EXTENSION citext ADD TABLE public.belongs',
      // An administrator's: it says nothing of what is wanted.
      'CREATE PUBLICATION changeover_test FOR ALL TABLES',
    );
    await using source = there.open({ wanted });
    const copy = await copyOf(source, signal);
    const expected = ['no', 'yes'].filter((name) => wanted({ name }));
    assert.deepEqual(
      copy.tables.map(({ name }) => name),
      expected,
    );
    const into = ['changeover.checkpoint', 'public.belongs', 'public.no', 'public.yes'];
    await there.transact(...into.map((name) => `INSERT INTO ${name} VALUES (1)`), `TRUNCATE ${into.join(', ')}`);
    const [one] = await readFrom(source, { after: copy.at, enough: 1 }, signal);
    const names = one?.changes.map((change) =>
      isRow(change) ? change.table.name : change.kind === 'truncate' ? change.tables.map(({ name }) => name) : [],
    );
    assert.deepEqual(names, [...expected, expected]);
  });

test('a key that came later identifies no row that was written before it', async ({ signal }) => {
  await using there = await prepared(
    'CREATE TABLE public.t (id int, v text)',
    'ALTER TABLE public.t REPLICA IDENTITY FULL',
    `INSERT INTO public.t VALUES (1, 'a'), (1, 'b')`,
    'CREATE TABLE public.always (id int PRIMARY KEY)',
    'ALTER TABLE public.always REPLICA IDENTITY FULL',
    'INSERT INTO public.always VALUES (1)',
  );
  await using source = there.open();
  const { at } = await copyOf(source, signal);
  await there.transact(`UPDATE public.t SET v = 'c' WHERE v = 'a'`, 'DELETE FROM public.always');
  await there.transact(`DELETE FROM public.t WHERE v = 'b'`, 'ALTER TABLE public.t ADD PRIMARY KEY (id)');
  const [one] = await readFrom(source, { after: at, enough: 1 }, signal);
  const keyed = one?.changes.filter(isRow).map(({ table }) => table.columns.some(({ key }) => key));
  assert.deepEqual(keyed, [false, true]);
});

test('a huge transaction never lies in memory, not even where most of it is not wanted', async ({ signal }) => {
  await using there = await prepared(
    'CREATE TABLE public.yes (v text)',
    'CREATE TABLE public.no (v text)',
    'CREATE PUBLICATION changeover_test FOR ALL TABLES',
  );
  await using source = there.open({ wanted: ({ name }) => name === 'yes' });
  const { at } = await copyOf(source, signal);
  await there.transact(
    `INSERT INTO public.yes SELECT repeat(md5(i::text), 20) FROM generate_series(1, 150000) i`,
    // Each row that is wanted among many that are not: what it is a part of must not stay with it.
    `DO $$ BEGIN FOR i IN 1..2500 LOOP
       INSERT INTO public.yes VALUES ('a few bytes');
       INSERT INTO public.no SELECT repeat('x', 1000) FROM generate_series(1, 60);
     END LOOP; END $$`,
  );
  let most = 0;
  let pieces = 0;
  const each = async (): Promise<void> => {
    pieces += 1;
    most = Math.max(most, process.memoryUsage().arrayBuffers);
  };
  const before = process.memoryUsage().arrayBuffers;
  const [one] = await readFrom(source, { after: at, enough: 1, each, forget: true }, signal);
  assert.equal(one?.count, 152_500);
  assert.ok(pieces > 20, `${pieces} pieces`);
  assert.ok(most - before < 100e6, `${Math.round((most - before) / 1e6)} MB`);
});

test('a slot that the primary gave up is lost, and said to be', async ({ signal }) => {
  await using there = await prepared('CREATE TABLE public.t (v text)');
  await using source = there.open();
  const { at } = await copyOf(source, signal);
  await there.connection.rows(`ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'`);
  await there.connection.rows('SELECT pg_reload_conf()');
  try {
    await settled(async () => {
      await there.transact(`INSERT INTO public.t SELECT repeat(md5(i::text), 30) FROM generate_series(1, 20000) i`);
      await there.connection.rows('CHECKPOINT');
      const [row] = await there.connection.rows(
        `SELECT wal_status FROM pg_replication_slots WHERE slot_name = '${slot}'`,
      );
      return row?.[0] === 'lost';
    });
    await rejects(readFrom(source, { after: at, enough: 1 }, signal), 'SOURCE_SLOT_LOST');
  } finally {
    await there.connection.rows('ALTER SYSTEM RESET max_slot_wal_keep_size');
    await there.connection.rows('SELECT pg_reload_conf()');
  }
});

test('an abort leaves nothing behind while a slot waits for a transaction of a client to end', async ({ signal }) => {
  await using there = await prepared('CREATE TABLE public.t (id int PRIMARY KEY)');
  await using source = there.open();
  await using client = await open(there.url);
  await client.rows('BEGIN');
  await client.rows('INSERT INTO public.t VALUES (1)');
  const stop = new AbortController();
  const copying = copyOf(source, AbortSignal.any([stop.signal, signal]));
  const waiting = `SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' AND wait_event_type = 'Lock'`;
  await settled(async () => (await there.connection.rows(waiting))[0]?.[0] === '1');
  const startedMs = performance.now();
  stop.abort();
  await assert.rejects(copying);
  await settled(async () => (await there.sessions()) === 0);
  const tookMs = performance.now() - startedMs;
  assert.ok(tookMs < 2000, `${tookMs} ms`);
  assert.equal(await there.kept(), undefined);
});

test('a former self that still reads is ended, and the new one goes on', async ({ signal }) => {
  await using there = await prepared('CREATE TABLE public.t (id int PRIMARY KEY)');
  await using former = there.open();
  await using source = there.open();
  const { at } = await copyOf(former, signal);
  const reading = readFrom(former, { after: at, enough: 9 }, signal);
  const ended = assert.rejects(reading, (error) => Boolean(error));
  await settled(async () => (await there.sessions()) >= 3);
  await there.transact('INSERT INTO public.t VALUES (1)');
  assert.equal((await readFrom(source, { after: at, enough: 1 }, signal)).length, 1);
  await ended;
});
