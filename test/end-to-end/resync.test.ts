import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { open, run } from '../servers/postgres.ts';
import { until } from './program.ts';
import { assertEqual, digests } from './sides.ts';
import { openStory, type Story } from './world.ts';

interface Taken {
  readonly table: string;
  readonly how: string;
  readonly rows: number;
}

const tables = [
  'CREATE TABLE public.large (id int PRIMARY KEY, n int, big text)',
  `INSERT INTO public.large SELECT k, 0, CASE WHEN k % 500 = 0 THEN repeat(md5(k::text), 300) END FROM generate_series(1, 30000) k`,
  'CREATE TABLE public.bag (a int, b text)',
  `INSERT INTO public.bag SELECT k % 7, 'b' FROM generate_series(1, 300) k`,
  'CREATE TABLE public.seat (id int PRIMARY KEY, place int NOT NULL UNIQUE)',
  'INSERT INTO public.seat SELECT k, k FROM generate_series(1, 200) k',
  'CREATE TABLE public.still (id int PRIMARY KEY)',
  'INSERT INTO public.still SELECT generate_series(1, 100)',
];

/** A lane with a copy that stopped in order, and lost its slot with what was committed since. */
async function lostLane(...meanwhile: readonly string[]): Promise<Story> {
  const story = await openStory();
  await run(story.sides.primary, ...tables);
  const replicate = await story.replicate();
  await story.write(10);
  await story.settles();
  await replicate.stop('SIGTERM');
  await run(
    story.sides.primary,
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name ~ '${story.name}$'`,
    ...meanwhile,
  );
  return story;
}

/** Of each kind: some rows of many, unique values that move in a circle, rows without a key, a table that nobody told of. */
const changes = [
  'UPDATE public.large SET n = 1 WHERE id % 1000 = 0',
  'DELETE FROM public.large WHERE id IN (5, 29999)',
  `INSERT INTO public.large VALUES (40000, 1, repeat('x', 20000))`,
  'INSERT INTO public.bag VALUES (9, NULL)',
  'UPDATE public.seat SET place = -place',
  'UPDATE public.seat SET place = 1 + (-place) % 20 WHERE place > -21',
  'UPDATE public.seat SET place = -place WHERE place < 0',
  'CREATE TABLE public.fresh (id int PRIMARY KEY, words text)',
  'CREATE INDEX fresh_words ON public.fresh (words)',
  `INSERT INTO public.fresh VALUES (1, 'one')`,
];

async function goesOn(story: Story): Promise<void> {
  await story.replicate();
  await story.write(10);
  await run(
    story.sides.primary,
    `INSERT INTO public.fresh VALUES (2, 'two')`,
    'UPDATE public.large SET n = 2 WHERE id = 7',
  );
  await story.settles();
  const { secondaries } = await story.desk.ask('status');
  assert.equal((secondaries as readonly { drifted: number }[])[0]?.drifted, 0);
  assert.equal((await story.desk.ask('log', 'verify')).verdict, 'WHOLE');
}

test('a lane whose slot is gone comes back by what differs, and goes on', async () => {
  await using story = await lostLane(...changes);
  const { desk, sides } = story;
  assert.match(await story.refused(), /^SOURCE_SLOT_LOST .*\nhint: .*changeover resync/);
  const before = await digests(sides.secondary);
  const trial = await desk.ask('resync', '--dry-run');
  assert.deepEqual([trial.verdict, trial.exitCode], ['WOULD RESYNC', 1]);
  assert.deepEqual(await digests(sides.secondary), before);
  assert.match(await story.refused(), /^SOURCE_SLOT_LOST/);

  const done = await desk.ask('resync');
  assert.deepEqual([done.verdict, done.exitCode], ['RESYNCED', 0], JSON.stringify(done));
  const taken = Object.fromEntries(
    (done.tables as readonly Taken[]).map(({ table, how, rows }) => [table, [how, rows]]),
  );
  assert.deepEqual(taken, {
    'public.account': ['equal', 0],
    'public.bag': ['table', 301],
    'public.fresh': ['table', 1],
    'public.large': ['rows', 33],
    'public.seat': ['rows', 20],
    'public.still': ['equal', 0],
    'public.transfer': ['equal', 0],
  });
  assert.deepEqual(done.secondaries, [{ site: 'secondary', equal: 7, rows: 30_661, different: [], notChecked: [] }]);
  await assertEqual(sides);
  await goesOn(story);
});

test('tables that were altered in the gap are named first, and a resync that is killed is begun again', async () => {
  await using story = await lostLane(
    ...changes,
    'ALTER TABLE public.large ALTER COLUMN n TYPE bigint',
    'ALTER TABLE public.still ADD COLUMN words text',
  );
  const { desk, sides } = story;
  const before = await digests(sides.secondary);
  const { err, exitCode } = await desk.run('resync');
  assert.equal(exitCode, 1);
  assert.match(
    err,
    /^TARGET_TABLE_DIFFERS secondary: public\.large differs: column n is bigint.*; public\.still differs: column words/,
  );
  assert.match(err, /ALTER TABLE "public"\."large" ALTER COLUMN "n" TYPE bigint/);
  assert.deepEqual(await digests(sides.secondary), before);
  await run(
    sides.secondary,
    'ALTER TABLE public.large ALTER COLUMN n TYPE bigint',
    'ALTER TABLE public.still ADD COLUMN words text',
  );

  const cured = await digests(sides.secondary);
  const resync = desk.start('resync');
  await resync.says(/public\.large: 33 rows differ/);
  await resync.stop('SIGKILL');
  assert.match(await story.refused(), /^SOURCE_POSITION_LOST .*\nhint: .*changeover resync/);
  assert.deepEqual(await digests(sides.secondary), cured);
  await run(sides.primary, 'DELETE FROM public.large WHERE id = 6');
  assert.equal((await desk.ask('resync')).verdict, 'RESYNCED');
  await goesOn(story);
});

test('a secondary that needs what the log forgot comes back by what differs', async () => {
  await using story = await openStory();
  const { desk, sides } = story;
  const replicate = await story.replicate();
  await story.write(5);
  await story.settles();
  await replicate.stop('SIGTERM');
  const capture = desk.start('capture');
  await story.write(5);
  // Two entries, each too large to share a segment of the log.
  const large = `SELECT pg_logical_emit_message(true, 'app', repeat('x', 40000000))`;
  await run(sides.primary, large, large);
  await story.write(5);
  const folder = join(desk.folder, 'changeover-data', 'log');
  const segments = async (): Promise<readonly string[]> =>
    (await readdir(folder)).filter((name) => name.endsWith('.segment')).toSorted();
  await until('all of it is in the log', async () => {
    const status = await desk.ask('status');
    const { notCapturedBytes } = status.primary as { readonly notCapturedBytes: number };
    return (status.log as { readonly bytes: number }).bytes > 80_000_000 && notCapturedBytes < 1000;
  });
  await capture.stop('SIGTERM');
  const [first = ''] = await segments();
  assert.equal((await segments()).length, 2);
  await rm(join(folder, first));
  assert.match((await desk.run('apply')).err, /^BROKER_GAP .*\nhint: .*changeover resync/);
  const done = await desk.ask('resync');
  assert.match(String(done.why), /trimmed beyond what secondary had applied/);
  assert.equal(done.verdict, 'RESYNCED');
  await assertEqual(sides);
  await story.replicate();
  await story.write(5);
  await story.settles();
});

test('a primary that keeps too much for us is let go of where over_budget says so, and the lane comes back', async () => {
  await using story = await openStory();
  const { desk, sides, name } = story;
  const sites = { primary: { postgres: sides.primary }, secondary: { postgres: sides.secondary } };
  const limits = { wal_budget: '16MB', over_budget: 'release', heartbeat: '200ms' };
  await writeFile(join(desk.folder, 'changeover.yaml'), JSON.stringify({ name, sites, primary: 'primary', ...limits }));
  const running = desk.start('run');
  await story.settles();
  {
    // As long as it is open, its log is kept, captured or not.
    await using holder = await open(sides.primary);
    await holder.rows('BEGIN');
    await holder.rows('SELECT pg_current_xact_id()');
    await run(sides.primary, `SELECT pg_logical_emit_message(true, 'app', repeat('x', 20000000))`);
    const { exitCode, err } = await running.ended();
    assert.equal(exitCode, 1);
    assert.match(err, /^SOURCE_SLOT_RELEASED primary kept .* of WAL for us, of 16\.0 MB.*\nhint: .*changeover resync/);
  }
  const slots = `SELECT count(*) FROM pg_replication_slots WHERE slot_name ~ '${name}$'`;
  assert.deepEqual(await run(sides.primary, slots), [['0']]);
  await story.write(5);
  const { verdict, sentence } = await desk.ask('status');
  assert.deepEqual([verdict, /SOURCE_SLOT_RELEASED/.test(String(sentence))], ['STOPPED', true], String(sentence));
  assert.equal((await desk.ask('resync')).verdict, 'RESYNCED');
  desk.start('run');
  await story.write(5);
  await story.settles();
});

test('where nothing is lost, or somebody is at work, nothing is begun', async () => {
  await using story = await openStory();
  const replicate = await story.replicate();
  await story.write(5);
  await story.settles();
  const busy = await story.desk.run('resync');
  assert.match(busy.err, /^BROKER_LOCKED /);
  await replicate.stop('SIGTERM');
  const { err, exitCode } = await story.desk.run('resync');
  assert.match(err, /^CLI_REFUSED Nothing is lost.*\nhint: Go on: changeover run/);
  assert.equal(exitCode, 3);
});
