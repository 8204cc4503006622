import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { open, run } from '../servers/postgres.ts';
import { openStory } from './world.ts';

/** CHANGEOVER_BIG_ROWS=1000000 for the whole size; the default is many pieces, too. */
const rows = Number(process.env.CHANGEOVER_BIG_ROWS ?? 200_000);
/** The promise, for whatever comes. */
const peakBytesMax = 300e6;

test(`a transaction of ${rows} rows is seen whole or not at all, in bounded memory`, async (t) => {
  await using story = await openStory();
  const { primary, secondary } = story.sides;
  await story.streamsFrom('4MB');
  await run(primary, 'CREATE TABLE public.big (id int PRIMARY KEY, words text, version int)');
  const replicate = await story.replicate();
  await story.desk.caughtUp();
  const done = new AbortController();
  const watching = watch(secondary, done.signal);
  await run(
    primary,
    `INSERT INTO public.big SELECT n, md5(n::text) || repeat('x', 40), 0 FROM generate_series(1, ${rows}) n`,
  );
  await run(primary, 'UPDATE public.big SET version = version + 1');
  await story.write(3);
  await story.desk.caughtUp(50 + rows / 5000);
  await story.settles();
  done.abort();
  const seen = await watching;
  assert.ok(seen.size > 1, 'The watcher saw it come');
  assert.ok((await story.blocksSent()) > 1, 'It came before its commit');
  for (const state of seen)
    assert.ok(['0 0', `${rows} 0`, `${rows} ${rows}`].includes(state), `Seen in part: ${state}`);
  const peakBytes = await replicate.peakBytes();
  t.diagnostic(`${Math.round(peakBytes / 1e6)} MB at the peak`);
  assert.ok(peakBytes < peakBytesMax, `${Math.round(peakBytes / 1024 ** 2)} MB at the peak`);
});

/** The states that a reader of the secondary sees: rows, and rows that are updated. */
async function watch(url: string, signal: AbortSignal): Promise<ReadonlySet<string>> {
  await using connection = await open(url);
  const seen = new Set<string>();
  while (!signal.aborted) {
    const [row] = await connection.rows(`SELECT count(*) || ' ' || coalesce(sum(version), 0) FROM public.big`);
    seen.add(row?.[0] ?? '');
    // A piece takes several times as long to come; without a rest the counting would take most of the machine.
    await sleep(20);
  }
  return seen;
}
