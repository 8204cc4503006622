import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { openNatsBroker } from '../../src/broker/nats/carrier.ts';
import { connectNats } from '../../src/broker/nats/connect.ts';
import { natsFindings, openNatsInspector } from '../../src/broker/nats/inspect.ts';
import { openBrokerServer } from '../../src/demo/broker-server.ts';
import { nats } from '../../src/demo/nats.ts';
import { skipReason } from '../servers/skip.ts';
import { first, whole } from './batches.ts';

const facts = { version: '2.10.4', stream: 'shop', keepMs: 86_400_000 };
const sound = { storage: 'file', retention: 'limits', num_replicas: 3 } as const;
const found = (config: Parameters<typeof natsFindings>[0]['config'], version = facts.version): readonly string[] =>
  natsFindings({ ...facts, version, config }).map(
    ({ severity, check, cure }) => `${severity} ${check} ${cure ? 'cured' : ''}`,
  );

suite('what a stream of NATS may be', () => {
  test('one with three replicas and no limits has no fault', () => assert.deepEqual(found(sound), []));

  test('every setting that can lose what was acknowledged is found, with its cure', () => {
    assert.deepEqual(found({ ...sound, storage: 'memory' }), ['blocker broker-storage cured']);
    assert.deepEqual(found({ ...sound, num_replicas: 1 }), ['warning broker-durability cured']);
    assert.deepEqual(found(undefined), ['warning broker-durability cured']);
    for (const config of [
      { retention: 'workqueue' } as const,
      { max_msgs_per_subject: 5 },
      { max_age: 3_600_000_000_000 },
    ])
      assert.deepEqual(found({ ...sound, ...config }), ['blocker broker-retention cured']);
    for (const config of [{ max_bytes: 1e9 }, { max_msgs: 1e6 }, { max_age: 200_000_000_000_000 }])
      assert.deepEqual(found({ ...sound, ...config }), ['warning broker-retention cured']);
    assert.deepEqual(found({ ...sound, max_bytes: 1e9, discard: 'new' }), []);
    assert.deepEqual(found({ ...sound, max_msg_size: 1000 }), ['blocker broker-message-size cured']);
  });

  test('sync_interval is advised only to a server that has it', () => {
    const cureOf = (version: string) =>
      natsFindings({ ...facts, version, config: { ...sound, num_replicas: 1 } })[0]?.cure;
    assert.match(cureOf('2.10.0') ?? '', /^# in nats-server.conf/);
    assert.match(cureOf('2.9.10') ?? '', /NATS 2.10 or later/);
  });
});

test('asks a real server, and forgets a stream without its settings', {
  skip: skipReason(nats),
  timeout: 60_000,
}, async ({ signal }) => {
  await using server = await openBrokerServer(nats);
  const place = { servers: [`nats://127.0.0.1:${server.port}`], stream: 'shop' };
  await using inspector = await openNatsInspector({ ...place, keepMs: 1000 });
  assert.deepEqual(
    (await inspector.check(signal)).map(({ check }) => check),
    ['broker-durability'],
  );
  {
    await using admin = await connectNats(place);
    const limits = { subjects: ['changeover.shop.records'], max_age: 3_600_000_000_000 };
    await admin.manager.streams.add({ name: 'shop', ...limits });
  }
  {
    await using writer = await openNatsBroker(place, signal);
    await writer.append(first, whole(1));
  }
  await inspector.forget(signal);
  assert.deepEqual(
    (await inspector.check(signal)).map(({ check }) => check),
    ['broker-durability', 'broker-retention'],
  );
  await using writer = await openNatsBroker(place, signal);
  assert.ok(await writer.isEmpty());
});
