import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '../../src/error.ts';
import { Handover } from '../../src/flow/handover.ts';

/** Whether a promise is still open after everything that could settle it by itself has had its turn. */
async function isOpen(promise: Promise<unknown>): Promise<boolean> {
  const open = Symbol('open');
  const turn = new Promise<typeof open>((resolve) => setImmediate(() => resolve(open)));
  return (await Promise.race([promise.catch(() => undefined), turn])) === open;
}

test('gives what it was given, in order, all at once', async ({ signal }) => {
  const handover = new Handover<number>(100);
  for (const item of [1, 2, 3]) await handover.give(item, 10, signal);
  assert.deepEqual([handover.length, handover.bytes], [3, 30]);
  assert.deepEqual(await handover.takeAll(100, signal), [1, 2, 3]);
  assert.deepEqual([handover.length, handover.bytes], [0, 0]);
});

test('a taker gets no more than it asks for, but always one', async ({ signal }) => {
  const handover = new Handover<string>(1000);
  for (const item of ['big', 'small', 'tiny']) await handover.give(item, item.length * 10, signal);
  assert.deepEqual(await handover.takeAll(5, signal), ['big']);
  assert.deepEqual(await handover.takeAll(90, signal), ['small', 'tiny']);
});

test('a giver waits while it is full, and goes on when there is room', async ({ signal }) => {
  const handover = new Handover<string>(100);
  await handover.give('a', 60, signal);
  await handover.give('b', 40, signal);
  const waiting = handover.give('c', 1, signal);
  assert.ok(await isOpen(waiting));
  assert.deepEqual(await handover.takeAll(60, signal), ['a']);
  await waiting;
  assert.deepEqual(await handover.takeAll(100, signal), ['b', 'c']);
});

test('one item passes, however large, when nothing else lies there', async ({ signal }) => {
  const handover = new Handover<string>(10);
  await handover.give('huge', 1_000_000, signal);
  const next = handover.give('next', 1, signal);
  assert.ok(await isOpen(next));
  assert.deepEqual(await handover.takeAll(10, signal), ['huge']);
  await next;
});

test('a waiting taker gets what comes', async ({ signal }) => {
  const handover = new Handover<string>(10);
  const taking = handover.takeAll(10, signal);
  assert.ok(await isOpen(taking));
  await handover.give('a', 1, signal);
  assert.deepEqual(await taking, ['a']);
});

test('once ended, the rest comes, then nothing', async ({ signal }) => {
  const handover = new Handover<string>(10);
  await handover.give('a', 1, signal);
  handover.end();
  await assert.rejects(handover.give('b', 1, signal), (error) => isCode(error, 'ASSERTION'));
  assert.deepEqual(await handover.takeAll(10, signal), ['a']);
  assert.equal(await handover.takeAll(10, signal), undefined);
});

test('an end wakes the taker that waits', async ({ signal }) => {
  const handover = new Handover<string>(10);
  const taking = handover.takeAll(10, signal);
  handover.end();
  assert.equal(await taking, undefined);
});

test('an abort ends both waits with its reason, and what waited is not in', async () => {
  const stop = new AbortController();
  const taking = new Handover<string>(10).takeAll(10, stop.signal);
  const full = new Handover<string>(10);
  await full.give('a', 10, stop.signal);
  const giving = full.give('b', 10, stop.signal);
  const reason = new RangeError('enough');
  stop.abort(reason);
  await assert.rejects(taking, reason);
  await assert.rejects(giving, reason);
  assert.equal(full.length, 1);
  await assert.rejects(full.give('c', 1, stop.signal), reason);
  await assert.rejects(full.takeAll(10, stop.signal), reason);
  assert.equal(full.length, 1);
});

test('must be allowed to hold something', () => {
  assert.throws(
    () => new Handover(0),
    (error) => isCode(error, 'ASSERTION'),
  );
});
