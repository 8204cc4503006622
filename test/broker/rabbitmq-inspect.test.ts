import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { openRabbitBroker, openRabbitReader } from '../../src/broker/rabbitmq/carrier.ts';
import { connectRabbit, openLine } from '../../src/broker/rabbitmq/connect.ts';
import { openRabbitInspector, type RabbitFacts, rabbitFindings } from '../../src/broker/rabbitmq/inspect.ts';
import { offset } from '../../src/change/position.ts';
import { openBrokerServer } from '../../src/demo/broker-server.ts';
import { rabbitmq } from '../../src/demo/rabbitmq.ts';
import { isCode } from '../../src/error.ts';
import { take } from '../conformance/broker.ts';
import { skipReason } from '../servers/skip.ts';
import { first, whole, wholes } from './batches.ts';

const stream = { type: 'stream', maxAge: '30D', maxBytes: undefined };
const found = (config: RabbitFacts['found'], version = '3.10.8'): readonly string[] =>
  rabbitFindings({ stream: 'shop', keepMs: 86_400_000, version, found: config }).map(
    ({ severity, check, cure }) => `${severity} ${check} ${cure ? 'cured' : ''}`,
  );

suite('what a queue of RabbitMQ may be', () => {
  const always = 'warning broker-durability cured';
  test('a stream with an age is said to need replicas, and how long it keeps', () =>
    assert.deepEqual(found(stream), [always, 'note broker-retention cured']));

  test('classic and quorum queues, old servers and short memories are found, with their cure', () => {
    for (const type of ['classic', 'quorum'])
      assert.deepEqual(found({ ...stream, type }), ['blocker broker-type cured']);
    assert.deepEqual(found(undefined, '3.9.29'), ['blocker broker-version cured', always]);
    assert.deepEqual(found({ ...stream, maxAge: '12h' }), [always, 'blocker broker-retention cured']);
    assert.deepEqual(found({ ...stream, maxAge: undefined, maxBytes: '1000' }), [
      always,
      'warning broker-retention cured',
    ]);
    assert.deepEqual(found({ ...stream, maxAge: undefined }), [always, 'note broker-retention cured']);
  });
});

suite('RabbitMQ', { skip: skipReason(rabbitmq), timeout: 240_000 }, () => {
  test('is asked what its queues are; what is no stream is refused', async ({ signal }) => {
    await using server = await openBrokerServer(rabbitmq);
    const url = `amqp://guest:guest@127.0.0.1:${server.port}`;
    const checksOf = async (name: string) => {
      await using inspector = await openRabbitInspector({ url, stream: name, keepMs: 86_400_000 });
      return (await inspector.check(signal)).map(({ severity, check }) => `${severity} ${check}`);
    };
    await using opened = new AsyncDisposableStack();
    const connection = opened.adopt(await connectRabbit({ url, stream: 'test' }), (one) => one.close());
    for (const type of ['classic', 'quorum']) {
      await using line = await openLine(connection);
      await line.channel.assertQueue(type, { durable: true, arguments: { 'x-queue-type': type } });
      assert.deepEqual(await checksOf(type), ['blocker broker-type']);
      const opening = openRabbitBroker({ url, stream: type, keepMs: 0 }, signal);
      await assert.rejects(opening, (error) => isCode(error, 'BROKER_UNSUITABLE'));
    }
    assert.deepEqual(await checksOf('shop'), ['warning broker-durability']);

    const limits = { segmentBytes: 200_000, bytes: 600_000 };
    {
      await using writer = await openRabbitBroker({ url, stream: 'shop', keepMs: 0, limits }, signal);
      await writer.append(first, whole(1, 10_000));
      assert.deepEqual(await checksOf('shop'), [
        'warning broker-durability',
        'note broker-retention',
        'warning broker-retention',
      ]);
      // One that reads slowly is overtaken by what the server forgets.
      await using slow = await openRabbitReader({ url, stream: 'shop' }, signal);
      const entries = slow.read(offset(0), signal)[Symbol.asyncIterator]();
      assert.equal((await entries.next()).value?.offset, 0);
      for (const batch of wholes(99, 2, 50_000)) await writer.append(first, batch);
      await using reader = await openRabbitReader({ url, stream: 'shop' }, signal);
      const { first: kept, next } = await reader.observe();
      assert.ok(kept > 50 && next === 100, `${kept} to ${next}`);
      for (const from of [0, kept - 1])
        await assert.rejects(take(reader, from, 1, signal), (error) => isCode(error, 'BROKER_GAP'));
      assert.deepEqual(
        (await take(reader, kept, 100 - kept, signal)).map(({ batch }) => batch),
        wholes(100 - kept, kept + 1, 50_000),
      );
      await assert.rejects(
        async () => {
          while (!(await entries.next()).done);
        },
        (error) => isCode(error, 'BROKER_GAP', 'BROKER_UNREACHABLE'),
      );
    }
    await using inspector = await openRabbitInspector({ url, stream: 'shop', keepMs: 0 });
    await inspector.forget(signal);
    await using writer = await openRabbitBroker({ url, stream: 'shop', keepMs: 0 }, signal);
    assert.ok(await writer.isEmpty());
  });
});
