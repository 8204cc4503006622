import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from './world.ts';

/** Of the seeds that `npm run simulate` goes through, as many as take a few seconds. */
const seeds = 120;

test('whatever goes wrong, every invariant holds', async () => {
  const counts = new Map<string, number>();
  for (let seed = 1; seed <= seeds; seed += 1) {
    const { violation, counts: happened } = await new World({ seed }).run();
    assert.equal(violation, undefined, `seed ${seed}: npm run simulate -- --seed ${seed} --count 1 tells its story`);
    for (const [what, times] of happened) counts.set(what, (counts.get(what) ?? 0) + times);
  }
  // Worlds in which nothing happened would show nothing.
  for (const what of ['promoted by switchover', 'promoted by failover', 'cancelled', 'lost as announced', 'refused'])
    assert.ok((counts.get(what) ?? 0) >= 5, `${what}: ${counts.get(what)}`);
});

test('a seed replays exactly, also beside others', async () => {
  const story = async (seed: number): Promise<string> => {
    const lines: string[] = [];
    const { steps } = await new World({ seed, tell: (line) => lines.push(line) }).run();
    return [...lines, steps].join('\n');
  };
  for (const seed of [7, 36, 100]) {
    const once = await story(seed);
    const [again] = await Promise.all([story(seed), story(seed + 1)]);
    assert.equal(again, once);
    assert.match(once, /fault/);
  }
});
