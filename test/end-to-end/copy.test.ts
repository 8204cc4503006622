import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../servers/postgres.ts';
import { type Running, until } from './program.ts';
import { chanceOf } from './workload.ts';
import { openStory, type Story } from './world.ts';

const seed = Number(process.env.SEED ?? 7);

test(`a first copy that is killed again and again ends equal, with nothing left over (SEED=${seed})`, async () => {
  await using story = await openStory();
  const { primary, secondary } = story.sides;
  await run(
    primary,
    `CREATE TABLE public.bulk AS SELECT n AS id, repeat(md5(n::text), 20) AS words FROM generate_series(1, 40000) n`,
    'ALTER TABLE public.bulk ADD PRIMARY KEY (id)',
  );
  const chance = chanceOf(seed);
  const has = async (url: string, condition: string): Promise<boolean> =>
    (await run(url, `SELECT ${condition}`))[0]?.[0] === 't';
  const slot = `EXISTS (SELECT FROM pg_replication_slots WHERE slot_name ~ '${story.name}$')`;
  const moments: Record<string, () => Promise<boolean>> = {
    'it began': async () => true,
    'the slot is there': () => has(primary, slot),
    'the tables are there': () => has(secondary, `to_regclass('public.bulk') IS NOT NULL`),
    'rows are there': () => has(secondary, `pg_relation_size(to_regclass('public.bulk')) > 0`),
    'more rows are there': () => has(secondary, `pg_relation_size(to_regclass('public.bulk')) > 8000000`),
  };
  for (const [what, isSo] of Object.entries(moments)) {
    const replicate = await story.replicate();
    await until(what, isSo);
    // Somewhere behind the moment: the place itself is what is tried here.
    await sleep(chance() * 30);
    await story.write(3);
    await replicate.stop('SIGKILL');
  }
  await story.replicate();
  await story.settles();
  const slots = await run(primary, `SELECT count(*) FROM pg_replication_slots WHERE slot_name ~ '${story.name}$'`);
  assert.deepEqual(slots, [['1']]);
  await until('no session of a dead process is left', async () => {
    const left = await run(
      secondary,
      `SELECT FROM pg_stat_activity WHERE application_name = 'changeover ${story.name}'`,
    );
    return left.length === 1;
  });
});

async function bytesIn(folder: string): Promise<number> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  const segments = files.filter(({ name }) => name.endsWith('.segment'));
  const sizes = await Promise.all(segments.map(({ parentPath, name }) => stat(join(parentPath, name))));
  return sizes.reduce((sum, { size }) => sum + size, 0);
}

/** The log holds a part of the copy, not all. */
async function assertHalf({ desk }: Story): Promise<void> {
  const { log } = await desk.ask('status');
  assert.equal((log as { readonly end: string | null }).end, null, 'The kill came in the middle of the copy');
}

/** Each kills one of those that a copy takes part in, and lets it come back. */
const killings: Readonly<Record<string, (story: Story, replicate: Running) => Promise<unknown>>> = {
  async 'capture and apply'(story, replicate) {
    await replicate.stop('SIGKILL');
    await assertHalf(story);
    const wholes = await run(
      story.sides.secondary,
      'SELECT FROM changeover.checkpoint WHERE position_token IS NOT NULL',
    );
    assert.deepEqual(wholes, [], 'It is marked as being copied');
    return story.replicate();
  },
  async 'the primary'({ world }) {
    await world.from.stop('kill');
    await world.from.start();
  },
  async 'the secondary'({ world }) {
    await world.to.stop('kill');
    await world.to.start();
  },
};

for (const [victim, killing] of Object.entries(killings))
  test(`what was copied before a kill of ${victim} is not copied again, and has what was committed since`, async () => {
    await using story = await openStory();
    const { primary, secondary } = story.sides;
    // More than one chunk: what is killed is in the middle of it.
    await run(
      primary,
      'CREATE TABLE public.bulk (id int PRIMARY KEY, words text)',
      'ALTER TABLE public.bulk ALTER words SET STORAGE EXTERNAL',
      `INSERT INTO public.bulk SELECT n, repeat(md5(n::text), 100) FROM generate_series(1, 40000) n`,
    );
    const files = `SELECT pg_relation_filenode(to_regclass('public.account')), pg_relation_filenode(to_regclass('public.bulk'))`;
    const replicate = await story.replicate();
    await until('one chunk and more is in the log, and something of it at the secondary', async () => {
      const [row] = await run(secondary, `SELECT coalesce(pg_relation_size(to_regclass('public.bulk')), 0) > 0`);
      return row?.[0] === 't' && (await bytesIn(story.desk.folder)) > 75_000_000;
    });
    const before = await run(secondary, files);
    await killing(story, replicate);
    await story.write(10);
    await run(
      primary,
      `UPDATE public.bulk SET id = -id WHERE id % 1000 = 0; DELETE FROM public.bulk WHERE id % 1000 = 1`,
    );
    await story.settles();
    assert.deepEqual(await run(secondary, files), before, 'Its tables were not emptied');
    assert.deepEqual(await run(secondary, 'SELECT drifted FROM changeover.checkpoint'), [['0']]);
  });
