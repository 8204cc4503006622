import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Acknowledged, covers } from '../../src/demo/acknowledged.ts';

test('the oldest transaction that is committed and not visible decides since when the secondary waits', () => {
  const acknowledged = new Acknowledged(2);
  acknowledged.add(1, 1, { rows: 6, atMs: 100 });
  acknowledged.add(2, 1, { rows: 7, atMs: 110 });
  acknowledged.add(1, 2, { rows: 8, atMs: 120 });
  assert.equal(acknowledged.waitingSinceMs(1000), 100);
  acknowledged.sawVisible([1, 0]);
  assert.equal(acknowledged.waitingSinceMs(1000), 110);
  acknowledged.sawVisible([1, 1]);
  assert.equal(acknowledged.waitingSinceMs(119), undefined, 'committed after the reading began');
  assert.equal(acknowledged.waitingSinceMs(120), 120);
  acknowledged.sawVisible([2, 1]);
  assert.equal(acknowledged.waitingSinceMs(1000), undefined);
  assert.deepEqual([acknowledged.transactions, acknowledged.visible, acknowledged.rows], [3, 3, 21]);
});

test('a transaction may be visible at the secondary before its client hears of the commit', () => {
  const acknowledged = new Acknowledged(1);
  acknowledged.sawVisible([1]);
  acknowledged.add(1, 1, { rows: 6, atMs: 100 });
  assert.equal(acknowledged.waitingSinceMs(1000), undefined);
  acknowledged.add(1, 2, { rows: 6, atMs: 200 });
  assert.equal(acknowledged.waitingSinceMs(1000), 200);
});

test('a reading covers what was wanted only client by client', () => {
  assert.ok(covers([3, 2], [3, 1]));
  assert.equal(covers([9, 1], [3, 2]), false);
  assert.equal(covers([], [0, 1]), false);
});
