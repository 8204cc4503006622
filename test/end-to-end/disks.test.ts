import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { open, run } from '../servers/postgres.ts';
import { folderOfServer, openSmallDisk } from './disks.ts';
import { until } from './program.ts';
import { assertEqual } from './sides.ts';
import { openStory } from './world.ts';

const mountless = 'no disk can be mounted here';

test('a full disk under the log leaves the changes with the primary, and heals when there is room', async (t) => {
  await using disk = await openSmallDisk(32);
  if (!disk) return t.skip(mountless);
  await using story = await openStory();
  const { primary, secondary } = story.sides;
  const replicate = await story.replicate('--folder', join(disk.folder, 'data'));
  await replicate.says(/apply secondary: running/);
  const filler = join(disk.folder, 'filler');
  await assert.rejects(writeFile(filler, Buffer.alloc(64 * 1024 ** 2)), { code: 'ENOSPC' });
  await story.write(20);
  await replicate.says(/capture primary: retrying: BROKER_DISK_FULL .*\n.*hint: /);
  const retained = `SELECT pg_current_wal_lsn() - confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name ~ '${story.name}$'`;
  await run(
    primary,
    'CREATE TABLE public.bulk (id int PRIMARY KEY, words text)',
    `INSERT INTO public.bulk SELECT n, repeat('x', 1000) FROM generate_series(1, 2000) n`,
  );
  assert.ok(Number((await run(primary, retained))[0]?.[0]) > 2_000_000);
  await rm(filler);
  await story.write(5);
  await until(
    'all transfers came',
    async () => (await run(secondary, 'SELECT count(*) FROM public.transfer'))[0]?.[0] === '25',
  );
  assert.equal((await run(secondary, 'SELECT count(*) FROM public.bulk'))[0]?.[0], '2000');
  assert.match(replicate.out, /BROKER_DISK_FULL[^]*capture primary: running/);
});

test('a full disk under what is not committed loses nothing of it, and heals when there is room', async (t) => {
  await using disk = await openSmallDisk(96);
  if (!disk) return t.skip(mountless);
  await using story = await openStory();
  const { primary } = story.sides;
  await story.streamsFrom('1MB');
  await run(primary, 'CREATE TABLE public.bulk (id int PRIMARY KEY, words text)');
  const replicate = await story.replicate('--folder', join(disk.folder, 'data'));
  await replicate.says(/apply secondary: running/);
  const filler = join(disk.folder, 'filler');
  await writeFile(filler, Buffer.alloc(76 * 1024 ** 2));
  await using client = await open(primary);
  await client.rows('BEGIN');
  await client.rows(`INSERT INTO public.bulk SELECT n, repeat('x', 1000) FROM generate_series(1, 25000) n`);
  await replicate.says(/capture primary: retrying: SOURCE_SPILL_FULL .*\n.*hint: /);
  await rm(filler);
  await client.rows('COMMIT');
  await story.write(5);
  await until(
    'all transfers came',
    async () => (await run(story.sides.secondary, 'SELECT count(*) FROM public.transfer'))[0]?.[0] === '5',
  );
  await assertEqual(story.sides);
});

test('a full disk at the secondary is waited for, and the log takes the changes', async (t) => {
  await using disk = await openSmallDisk(16);
  if (!disk) return t.skip(mountless);
  await using story = await openStory();
  const { primary, secondary } = story.sides;
  const replicate = await story.replicate();
  await story.settles();
  const folder = await folderOfServer(disk);
  await run(
    secondary,
    `CREATE TABLESPACE small LOCATION '${folder}'`,
    'ALTER TABLE public.transfer SET TABLESPACE small',
  );
  const filler = join(disk.folder, 'filler');
  await assert.rejects(writeFile(filler, Buffer.alloc(64 * 1024 ** 2)), { code: 'ENOSPC' });
  await run(primary, 'INSERT INTO public.transfer SELECT n, 1, 1, 0 FROM generate_series(1000, 30000) n');
  await replicate.says(/apply secondary: retrying: TARGET_DISK_FULL .*\n.*hint: /);
  await story.write(5);
  await rm(filler);
  await story.settles();
  await run(secondary, 'ALTER TABLE public.transfer SET TABLESPACE pg_default', 'DROP TABLESPACE small');
});
