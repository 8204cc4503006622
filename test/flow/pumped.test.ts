import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { type PumpedOptions, pumped } from '../../src/flow/pumped.ts';

type Produce = PumpedOptions<number>['produce'];

const pump = (produce: Produce, signal: AbortSignal, bytesMax = 1000) =>
  pumped<number>({ produce, bytesMax, takeBytesMax: bytesMax }, signal);

/** Gives 1, 2, 3 ... of one byte each until stopped, and notes how far it came and that it ended. */
function counter() {
  const seen = { given: 0, ended: false };
  const produce: Produce = async (give, signal) => {
    try {
      for (;;) {
        signal.throwIfAborted();
        await give(seen.given + 1, 1);
        seen.given += 1;
      }
    } finally {
      seen.ended = true;
    }
  };
  return { seen, produce };
}

test('all that is produced arrives in order, then the iteration ends', async ({ signal }) => {
  const produce: Produce = async (give) => {
    for (let item = 0; item < 500; item += 1) await give(item, 10);
  };
  const items: number[] = [];
  for await (const round of pump(produce, signal, 100)) {
    assert.ok(round.length >= 1 && round.length <= 10);
    items.push(...round);
  }
  assert.deepEqual(items, [...Array(500).keys()]);
});

test('the producer goes on while the consumer is busy, up to its limit', async ({ signal }) => {
  const { seen, produce } = counter();
  for await (const _round of pump(produce, signal, 50)) {
    const before = seen.given;
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(seen.given > before && seen.given - before <= 50, `${seen.given - before} ahead`);
    break;
  }
});

test('leaving the loop stops the producer and waits for its end', async ({ signal }) => {
  const { seen, produce } = counter();
  for await (const _round of pump(produce, signal)) break;
  assert.equal(seen.ended, true);
});

test("the producer's error is the iteration's, also where it failed at once", async ({ signal }) => {
  const broken = new RangeError('broken');
  const late: Produce = async (give) => {
    await give(1, 1);
    throw broken;
  };
  const atOnce: Produce = () => Promise.reject(broken);
  for (const produce of [late, atOnce]) {
    await assert.rejects(async () => {
      for await (const _round of pump(produce, signal)) continue;
    }, broken);
  }
});

test("the consumer's error stops the producer and stays what it was", async ({ signal }) => {
  const { seen, produce } = counter();
  const mine = new RangeError('mine');
  await assert.rejects(async () => {
    for await (const _round of pump(produce, signal)) throw mine;
  }, mine);
  assert.equal(seen.ended, true);
});

test('an abort from outside ends a waiting producer and a waiting consumer with its reason', async () => {
  const stop = new AbortController();
  const reason = new RangeError('enough');
  let ended = false;
  const idle: Produce = async (_give, signal) => {
    await once(signal, 'abort');
    ended = true;
  };
  setImmediate(() => stop.abort(reason));
  await assert.rejects(async () => {
    for await (const _round of pump(idle, stop.signal)) continue;
  }, reason);
  assert.equal(ended, true);
});
