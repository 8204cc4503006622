import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openServer } from '../servers/clusters.ts';
import { run } from '../servers/postgres.ts';
import { until } from './program.ts';
import { assertEqual, count, digests } from './sides.ts';
import { openStory } from './world.ts';

const tables = [
  { match: 'scratch.*', leave_out: true },
  { match: 'tmp_*', leave_out: true },
  { match: 'public.tmp_but_wanted' },
];
test('whoever stands by in the same folder goes on when the other is killed', async () => {
  await using story = await openStory();
  const { primary, secondary } = story.sides;
  const places = { london: { postgres: primary }, dublin: { postgres: secondary } };
  const plan = { name: story.name, sites: places, primary: 'london' };
  await writeFile(join(story.desk.folder, 'changeover.yaml'), JSON.stringify(plan));
  const running = story.desk.start('run');
  await story.write(20);
  await story.settles();
  const standing = story.desk.start('run', '--standby');
  await standing.says(/standby: another process does this/);
  const killing = story.write(200);
  await running.stop('SIGKILL');
  await standing.says(/standby: it has ended[^]*dublin: running/);
  await killing;
  await story.settles();
});

const retainedBy = (name: string): string =>
  `SELECT pg_current_wal_insert_lsn() - restart_lsn FROM pg_replication_slots WHERE slot_name ~ '${name}$'`;

test('of two secondaries one stops: the other goes on, the log takes its changes, the primary keeps nothing for it', async () => {
  await using story = await openStory();
  await using third = await openServer();
  const { primary, secondary } = story.sides;
  await run(
    primary,
    'CREATE SCHEMA scratch',
    'CREATE TABLE scratch.notes (id int PRIMARY KEY)',
    'CREATE TABLE public.tmp_load (id int PRIMARY KEY)',
    'CREATE TABLE public.tmp_but_wanted (id int PRIMARY KEY)',
    'CREATE TABLE public.big (id int PRIMARY KEY, words text)',
  );
  const places = { london: { postgres: primary }, dublin: { postgres: secondary }, paris: { postgres: third.url() } };
  const plan = { name: story.name, sites: places, primary: 'london', tables, heartbeat: '200ms' };
  const sealed = { ...plan, broker: { seal: { key_file: './shop.keys' } } };
  await writeFile(join(story.desk.folder, 'changeover.yaml'), JSON.stringify(sealed));
  await story.desk.ask('keys', 'rotate');
  const running = story.desk.start('run');
  await story.desk.caughtUp();
  await third.stop('fast');
  await running.says(/apply paris: retrying: TARGET_UNREACHABLE/);

  for (let lot = 0; lot < 5; lot += 1)
    await run(
      primary,
      `INSERT INTO public.big SELECT n, repeat(md5(n::text), 60) FROM generate_series(${lot} * 2000 + 1, (${lot} + 1) * 2000) n`,
      `INSERT INTO public.tmp_load VALUES (${lot})`,
      `INSERT INTO scratch.notes VALUES (${lot})`,
      `INSERT INTO public.tmp_but_wanted VALUES (${lot})`,
    );
  assert.equal((await story.desk.run('wait', '--site', 'dublin', '--timeout', '50')).exitCode, 0);
  assert.equal(await count(secondary, 'public.big'), 10_000);
  await until('the primary keeps next to nothing', async () => {
    const [row] = await run(primary, 'CHECKPOINT', retainedBy(story.name));
    return Number(row?.[0]) < 1024 ** 2;
  });
  const { secondaries, verdict } = await story.desk.ask('status');
  assert.notEqual(verdict, 'IN STEP');
  assert.deepEqual(
    (secondaries as readonly { site: string; verdict: string }[]).map((one) => [one.site, one.verdict]),
    [
      ['dublin', 'IN STEP'],
      ['paris', 'UNREACHABLE'],
    ],
  );

  await third.start();
  await story.desk.caughtUp();
  await running.stop('SIGTERM');
  assert.deepEqual(Object.keys(await digests(secondary)), [
    '"public"."account"',
    '"public"."big"',
    '"public"."tmp_but_wanted"',
    '"public"."transfer"',
  ]);
  await run(primary, 'DROP TABLE public.tmp_load', 'DROP SCHEMA scratch CASCADE');
  for (const to of [secondary, third.url()]) await assertEqual({ primary, secondary: to });

  // Its log is sealed: whole and readable with the key alone.
  assert.equal((await story.desk.ask('log', 'verify')).verdict, 'WHOLE');
  const { entries } = await story.desk.ask('log', 'ls', '--from', '0', '--limit', '3');
  assert.match(JSON.stringify(entries), /"schema":\d/);
  const folder = join(story.desk.folder, 'changeover-data', 'log');
  const bytes = await readFile(join(folder, `${'0'.repeat(20)}.segment`));
  assert.ok(bytes.length > 10_000 && !bytes.includes('tmp_but_wanted'));
  await writeFile(join(story.desk.folder, 'changeover.yaml'), JSON.stringify(plan));
  for (const words of [['log', 'verify'], ['log', 'ls'], ['run']])
    assert.match(
      (await story.desk.run(...words)).err,
      /^BROKER_SEALED Entry \d+ is sealed, and no key is configured\n/,
    );
});
