import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { ChangeoverError } from '../../src/error.ts';
import { type BudgetOptions, withinBudget } from '../../src/main/budget.ts';
import type { SourceInspector } from '../../src/source/source.ts';
import { source } from '../cli/fake-house.ts';

/** A primary that keeps so much for us, look by look, the last for ever; and what was done to it, in order. */
async function within(kept: readonly number[], over: BudgetOptions['over'], change: Partial<SourceInspector> = {}) {
  const deeds: string[] = [];
  const lines: string[] = [];
  const stop = new AbortController();
  let looks = 0;
  const inspector: SourceInspector = {
    ...source,
    async observe(signal) {
      looks += 1;
      if (looks > kept.length + 2) stop.abort();
      return { ...(await source.observe(signal)), retainedBytes: kept[looks - 1] ?? kept.at(-1) ?? 0 };
    },
    abandon: async () => void deeds.push('abandoned'),
    ...change,
  };
  const options = { primary: 'london', budgetBytes: 100, over, everyMs: 1, source: async () => inspector };
  const work = async (signal: AbortSignal): Promise<void> => {
    if (!signal.aborted) await once(signal, 'abort');
    deeds.push('work ended');
  };
  const outcome = await withinBudget({ ...options, report: (line) => lines.push(line) }, work, stop.signal).then(
    () => undefined,
    (error: unknown) => (error as ChangeoverError).code,
  );
  return { deeds, lines, outcome };
}

test('over budget, people are told once each time it comes to that, and the work goes on', async () => {
  const { deeds, lines, outcome } = await within([50, 101, 150, 100, 101], 'warn');
  assert.equal(lines.length, 2);
  assert.match(lines[0] ?? '', /^warning: london keeps 101 B of WAL for us, over the budget of 100 B/);
  assert.deepEqual([deeds, outcome], [['work ended'], undefined]);
});

test('where the policy is to release, the work ends before the primary lets go, and that is an error', async () => {
  const { deeds, outcome } = await within([100, 101], 'release');
  assert.deepEqual([deeds, outcome], [['work ended', 'abandoned'], 'SOURCE_SLOT_RELEASED']);
});

test('within the budget nothing is given up', async () => {
  assert.deepEqual(await within([100, 100], 'release'), { deeds: ['work ended'], lines: [], outcome: undefined });
});

test('a primary that does not let go at once is asked again, and one that cannot be looked at keeps what it keeps', async () => {
  let tries = 0;
  const stubborn = async (): Promise<void> => {
    tries += 1;
    if (tries < 2) throw new ChangeoverError('SOURCE_SLOT_BUSY', 'somebody reads it');
  };
  const { lines, outcome } = await within([101], 'release', { abandon: stubborn });
  assert.deepEqual([tries, outcome, lines.length], [2, 'SOURCE_SLOT_RELEASED', 1]);
  let looks = 0;
  const blind = async (signal: AbortSignal) => {
    looks += 1;
    if (looks === 1) throw new ChangeoverError('SOURCE_UNREACHABLE', 'away');
    return { ...(await source.observe(signal)), retainedBytes: 101 };
  };
  assert.equal((await within([], 'release', { observe: blind })).outcome, 'SOURCE_SLOT_RELEASED');
  assert.equal(looks, 2);
});

test('what stops the work is what is thrown', async () => {
  const options = {
    primary: 'london',
    budgetBytes: 100,
    over: 'release',
    everyMs: 1,
    report: () => undefined,
  } as const;
  const failing = () => Promise.reject(new ChangeoverError('BROKER_CORRUPT', 'broken'));
  const never = new AbortController().signal;
  const work = withinBudget({ ...options, source: async () => source, budgetBytes: 1e9 }, failing, never);
  await assert.rejects(work, { code: 'BROKER_CORRUPT' });
});
