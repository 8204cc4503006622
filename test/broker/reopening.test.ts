import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Broker } from '../../src/broker/broker.ts';
import { openMemoryBroker } from '../../src/broker/memory/memory.ts';
import { ReopeningBroker } from '../../src/broker/reopening.ts';
import { ChangeoverError, isCode } from '../../src/error.ts';
import { first, position, whole } from './batches.ts';

test('after a failure it takes nothing until it was asked how far it is, and then goes on from there', async ({
  signal,
}) => {
  const memory = openMemoryBroker();
  let fails = false;
  let opened = 0;
  await using broker = new ReopeningBroker(async () => {
    opened += 1;
    const inner = memory.openWriter();
    const failing: Broker['append'] = async (epoch, batch) => {
      const at = await inner.append(epoch, batch);
      if (!fails) return at;
      fails = false;
      throw new ChangeoverError('BROKER_UNREACHABLE', 'It is there, and nobody knows');
    };
    return { ...inner, append: failing, [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose]() };
  }, signal);
  const unreachable = (error: unknown): boolean => isCode(error, 'BROKER_UNREACHABLE');
  await assert.rejects(broker.append(first, whole(1)), unreachable);
  assert.equal(await broker.isEmpty(), true);
  fails = true;
  await assert.rejects(broker.append(first, whole(1)), unreachable);
  await assert.rejects(broker.append(first, whole(2)), unreachable);
  assert.deepEqual(await broker.tail(), position(1));
  assert.equal(await broker.append(first, whole(2)), 1);
  assert.equal(opened, 2);
});

test('who was asleep, and asks again how far it is, hears of the writer who followed', async ({ signal }) => {
  const memory = openMemoryBroker();
  await using broker = new ReopeningBroker(async () => memory.openWriter(), signal);
  assert.equal(await broker.tail(), undefined);
  await broker.append(first, whole(1));
  assert.deepEqual(await broker.tail(), position(1));
  let opened = 0;
  await using asleep = new ReopeningBroker(async () => {
    opened += 1;
    if (opened > 1) throw new ChangeoverError('BROKER_LOCKED', 'Another process writes');
    return { ...openMemoryBroker().openWriter(), tail: async () => position(1) };
  }, signal);
  assert.deepEqual(await asleep.tail(), position(1));
  await assert.rejects(asleep.tail(), (error) => isCode(error, 'BROKER_LOCKED'));
});
