import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../servers/postgres.ts';
import { type Desk, openDesk } from './program.ts';
import { assertEqual, count, digests } from './sides.ts';
import { openStory, type Story } from './world.ts';

/** A lane with a copy that stopped in order, both sides equal. */
async function stoppedLane(): Promise<Story> {
  const story = await openStory();
  const replicate = await story.replicate();
  await story.write(10);
  await story.settles();
  await replicate.stop('SIGTERM');
  return story;
}

const slotOf = async (story: Story): Promise<string> =>
  (
    await run(story.sides.primary, `SELECT slot_name FROM pg_replication_slots WHERE slot_name ~ '${story.name}$'`)
  )[0]?.[0] ?? '';

async function startsOver(story: Story): Promise<void> {
  await story.replicate('--restart');
  await story.write(10);
  await story.settles();
}

test('a slot that was dropped stops the lane with nothing skipped, and a new copy heals it', async () => {
  await using story = await stoppedLane();
  const before = await digests(story.sides.secondary);
  await run(story.sides.primary, `SELECT pg_drop_replication_slot('${await slotOf(story)}')`);
  await story.write(10);
  assert.match(await story.refused(), /^SOURCE_SLOT_LOST .*\nhint: .*changeover resync/);
  assert.deepEqual(await digests(story.sides.secondary), before);
  await startsOver(story);
});

test('a slot that the primary gave up for its disk stops the lane with nothing skipped', async () => {
  await using story = await stoppedLane();
  const { primary } = story.sides;
  await run(primary, `ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'`, 'SELECT pg_reload_conf()');
  for (let switched = 0; switched < 3; switched += 1)
    await run(primary, 'SELECT pg_switch_wal()', `SELECT pg_logical_emit_message(false, 'x', 'y')`, 'CHECKPOINT');
  assert.match(await story.refused(), /^SOURCE_SLOT_LOST .*\nhint: .*changeover resync/);
  await run(primary, 'ALTER SYSTEM RESET max_slot_wal_keep_size', 'SELECT pg_reload_conf()');
  await startsOver(story);
});

test('another cluster at the address of the primary is refused', async () => {
  await using story = await stoppedLane();
  const before = await digests(story.sides.secondary);
  const { secondary, primary } = story.sides;
  // The plan is kept with the log; a new address for the same lane is how a moved primary is told.
  await run(story.world.to.url(), `CREATE DATABASE ${story.name}_other`);
  const elsewhere = story.world.to.url(`${story.name}_other`);
  const { err, exitCode } = await story.desk.run('replicate', elsewhere, secondary);
  assert.match(err, /^SOURCE_POSITION_LOST .*cluster/);
  assert.equal(exitCode, 1);
  assert.deepEqual(await digests(secondary), before);
  await story.desk.replicate({ primary, secondary });
  await story.write(3);
  await story.settles();
});

test('rows that are at the secondary before a copy are never touched', async () => {
  await using story = await openStory();
  const { secondary } = story.sides;
  await run(
    secondary,
    'CREATE TABLE public.account (id int PRIMARY KEY, balance bigint NOT NULL, note text)',
    `INSERT INTO public.account VALUES (7, 7, 'theirs')`,
  );
  assert.match(await story.refused(), /^TARGET_NOT_EMPTY .*account.*\nhint: /);
  assert.deepEqual(await run(secondary, 'SELECT id, balance, note FROM public.account'), [['7', '7', 'theirs']]);
  await run(secondary, 'TRUNCATE public.account');
  await story.replicate();
  await story.settles();
});

test('a row in the way stops the lane, and removing it lets the lane go on', async () => {
  await using story = await stoppedLane();
  const { secondary } = story.sides;
  await run(secondary, 'INSERT INTO public.transfer VALUES (11, 0, 0, 0)');
  const replicate = await story.replicate();
  await story.write(5);
  await replicate.says(/apply secondary: stopped: TARGET_CONFLICT .*\n.*hint: /);
  assert.equal((await story.desk.ask('status')).verdict, 'STOPPED');
  await run(secondary, 'DELETE FROM public.transfer WHERE id = 11 AND amount = 0');
  await replicate.stop('SIGTERM');
  await story.replicate();
  await story.settles();
});

test('a row that is missing is written and counted as drift', async () => {
  await using story = await stoppedLane();
  await run(story.sides.secondary, 'DELETE FROM public.account WHERE id IN (1, 2)');
  await story.replicate();
  await run(
    story.sides.primary,
    'UPDATE public.account SET balance = balance + 1 WHERE id = 1',
    'DELETE FROM public.account WHERE id = 2',
  );
  await story.settles();
  const { secondaries } = await story.desk.ask('status');
  assert.equal((secondaries as readonly { drifted: number }[])[0]?.drifted, 2);
});

test('two in one folder, and two folders for one lane, are refused, and the first is unharmed', async () => {
  await using story = await openStory();
  const first = await story.replicate();
  await story.settles();
  assert.match(await story.refused(), /^BROKER_LOCKED .*\nhint: /);
  await using other: Desk = await openDesk();
  const { primary, secondary } = story.sides;
  await run(story.world.to.url(), `CREATE DATABASE ${story.name}_b`);
  const elsewhere = story.world.to.url(`${story.name}_b`);
  for (const to of [secondary, elsewhere]) {
    const { exitCode, err, out } = await other.run('replicate', primary, to, '--name', story.name);
    assert.match(err, /^SOURCE_SLOT_FOREIGN .*\nhint: /, out);
    assert.equal(exitCode, 3);
  }
  await story.write(5);
  await story.settles();
  assert.equal(first.runs, true);
});

test('a secondary that was fed from another log is refused', async () => {
  await using story = await stoppedLane();
  await using other = await openStory();
  const lane = ['--name', other.name];
  const running = await other.replicate();
  await other.settles();
  await running.stop('SIGTERM');
  const before = await digests(story.sides.secondary);
  await run(story.sides.secondary, `UPDATE changeover.checkpoint SET lane = '${other.name}'`);
  const { err, exitCode } = await other.desk.run('replicate', other.sides.primary, story.sides.secondary, ...lane);
  assert.match(err, /^BROKER_FOREIGN .*\nhint: /);
  assert.equal(exitCode, 3);
  assert.deepEqual(await digests(story.sides.secondary), before);
});

test('a table or a column that nobody told the secondary of stops the lane by name, and making it lets the lane go on', async () => {
  await using story = await openStory();
  const { primary, secondary } = story.sides;
  const replicate = await story.replicate();
  await story.settles();
  const table = 'CREATE TABLE public.later (id int PRIMARY KEY, words text)';
  const untold = 'SET event_triggers = off';
  await run(
    primary,
    untold,
    table,
    `INSERT INTO public.later VALUES (1, 'a')`,
    'UPDATE public.account SET balance = 0 WHERE id = 1',
  );
  await replicate.says(/apply secondary: stopped: TARGET_TABLE_DIFFERS .*public\.later is missing.*\n.*hint: /);
  await replicate.stop('SIGTERM');
  await run(secondary, table);
  const second = await story.replicate();
  await story.settles();
  await run(
    primary,
    untold,
    'ALTER TABLE public.later ADD COLUMN more int',
    `INSERT INTO public.later VALUES (2, 'b', 3)`,
  );
  await second.says(/apply secondary: stopped: TARGET_TABLE_DIFFERS .*public\.later has no column "more".*\n/);
  await run(primary, 'INSERT INTO public.later VALUES (3)');
  await second.stop('SIGTERM');
  await run(secondary, 'ALTER TABLE public.later ADD COLUMN more int');
  await story.replicate();
  await story.settles();
  assert.equal(await count(secondary, 'public.later'), 3);
});

test('a byte that flips in the log stops apply there, and verify names the place', async () => {
  await using story = await stoppedLane();
  const capture = story.desk.start('capture');
  await story.write(30);
  await capture.says(/capture primary: running/);
  await capture.stop('SIGTERM');
  const folder = join(story.desk.folder, 'changeover-data', 'log');
  const segment = join(folder, (await readdir(folder)).find((name) => name.endsWith('.segment')) ?? '');
  const bytes = await readFile(segment);
  const at = bytes.length - 30;
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  await writeFile(segment, bytes);
  const before = await count(story.sides.secondary, 'public.transfer');
  const { err, exitCode, out } = await story.desk.run('apply');
  assert.match(err, /^BROKER_CORRUPT .*\nhint: /, out);
  assert.equal(exitCode, 1);
  const verified = await story.desk.ask('log', 'verify');
  assert.deepEqual([verified.verdict, verified.exitCode], ['BROKEN', 1]);
  const after = await count(story.sides.secondary, 'public.transfer');
  assert.ok(after >= before && after <= 40, `${after}`);
  await startsOver(story);
  await assertEqual(story.sides);
});

test('a primary that was taken back to an earlier state is refused, and nothing is undone at the secondary', async () => {
  await using story = await stoppedLane();
  const { from } = story.world;
  const { primary, secondary } = story.sides;
  const [data, copy] = [join(from.folder, 'data'), join(from.folder, 'copy')];
  await from.stop('fast');
  assert.equal(spawnSync('cp', ['-a', data, copy]).status, 0);
  await from.start();
  const replicate = await story.replicate();
  await story.write(5);
  await run(primary, `INSERT INTO public.account SELECT n, 0, repeat('x', 500) FROM generate_series(100, 6000) n`);
  await story.settles();
  await replicate.stop('SIGTERM');
  const before = await digests(secondary);
  await from.stop('fast');
  await rm(data, { recursive: true });
  await rename(copy, data);
  await from.start();
  assert.match(await story.refused(), /^SOURCE_POSITION_LOST .*lost transactions\nhint: .*--restart/);
  assert.deepEqual(await digests(secondary), before);
  const waited = await story.desk.run('wait', '--caught-up', '--timeout', '1');
  assert.equal(waited.exitCode, 1, waited.out);
  assert.match(waited.err, /^CONTROL_DEADLINE .* beyond the end of /);
  await story.replicate('--restart');
  await story.settles();
});
