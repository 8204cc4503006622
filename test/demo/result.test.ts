import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Recovery } from '../../src/demo/recover.ts';
import { isClean, type Outcome, resultOf, summary } from '../../src/demo/result.ts';

const equal = { equal: true, tables: 18, rows: 163_843, differing: [] };
const unequal = { equal: false, tables: 18, rows: 163_843, differing: ['shop.orders'] };
const killed: Recovery = { part: 'apply', atMs: 7500, killedMs: 0, words: undefined, recoveredMs: 2311, proof: equal };
const meter = { lags: () => ({ p50: 1.2, p99: 2300, max: 2400 }), readings: 580, tornReadings: 0 };
const outcome: Outcome = {
  broker: 'log',
  workMs: 30_040,
  transactions: 6012,
  rows: 84_000,
  meter,
  recoveries: [killed],
  proof: equal,
};

const isCleanWith = (change: Partial<Outcome>): boolean => isClean(resultOf({ ...outcome, ...change }));

test('the figures have their documented shape', () =>
  assert.deepEqual(resultOf(outcome), {
    schema: 'changeover.demo/1',
    broker: 'log',
    seconds: 30,
    transactions: 6012,
    rows: 84_000,
    transactionsPerSecond: 200.1,
    lagMs: { p50: 1.2, p99: 2300, max: 2400 },
    readings: 580,
    torn: 0,
    kills: [{ part: 'apply', atMs: 7500, recoveredMs: 2311, equal: true, unasked: false }],
    equal: true,
    tables: 18,
    rowsCompared: 163_843,
  }));

test('only what was proved is clean: no torn reading, no unequal side, no kill without its proof', () => {
  assert.equal(isCleanWith({}), true);
  assert.equal(isCleanWith({ proof: unequal }), false);
  assert.equal(isCleanWith({ meter: { ...meter, tornReadings: 1 } }), false);
  assert.equal(isCleanWith({ recoveries: [killed, { ...killed, proof: unequal }] }), false);
  assert.equal(isCleanWith({ recoveries: [{ ...killed, proof: undefined }] }), false);
});

test('what was never proved is said to be so, and never "equal"', () => {
  const unproved = { ...outcome, recoveries: [], proof: undefined };
  const lines = summary({ result: resultOf(unproved), ...unproved });
  assert.equal(resultOf(unproved).equal, null);
  assert.doesNotMatch(lines.join('\n'), /\bequal\b/);
});

test('a part that ended by itself is told with its last words', () => {
  const recoveries = [{ ...killed, words: 'running\nstopped: TARGET_STALE' }];
  const lines = summary({ result: resultOf({ ...outcome, recoveries }), proof: equal, recoveries });
  assert.deepEqual(lines.slice(-3), [
    'apply, ended unasked at 7.5 s, was back in step after 2.3 s; equal',
    '  running',
    '  stopped: TARGET_STALE',
  ]);
});
