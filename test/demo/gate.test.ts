import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gate } from '../../src/demo/gate.ts';

const { signal } = new AbortController();
const isPending = async (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([promise.then(() => false), new Promise<boolean>((resolve) => setImmediate(() => resolve(true)))]);

test('a closed gate waits for who is inside and holds who comes', async () => {
  const gate = new Gate();
  const inside = await gate.enter(signal);
  const closing = gate.close(signal);
  const coming = gate.enter(signal);
  assert.ok(await isPending(closing));
  inside[Symbol.dispose]();
  const closed = await closing;
  assert.ok(await isPending(coming));
  closed[Symbol.dispose]();
  (await coming)[Symbol.dispose]();
});

test('a second closing waits for its turn', async () => {
  const gate = new Gate();
  const first = await gate.close(signal);
  const second = gate.close(signal);
  assert.ok(await isPending(second));
  first[Symbol.dispose]();
  (await second)[Symbol.dispose]();
  (await gate.enter(signal))[Symbol.dispose]();
});

test('a closing that is given up leaves the gate open', async () => {
  const gate = new Gate();
  using _inside = await gate.enter(signal);
  await assert.rejects(gate.close(AbortSignal.abort('enough')), (reason) => reason === 'enough');
  (await gate.enter(signal))[Symbol.dispose]();
});
