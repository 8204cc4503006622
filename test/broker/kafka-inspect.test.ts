import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { openKafkaBroker } from '../../src/broker/kafka/carrier.ts';
import { kafkaClients } from '../../src/broker/kafka/connect.ts';
import { kafkaFindings, openKafkaInspector } from '../../src/broker/kafka/inspect.ts';
import { openBrokerServer } from '../../src/demo/broker-server.ts';
import { kafka } from '../../src/demo/kafka.ts';
import { skipReason } from '../servers/skip.ts';
import { first, whole } from './batches.ts';

const sound = { 'min.insync.replicas': '2', 'cleanup.policy': 'delete', 'retention.ms': '-1', 'retention.bytes': '-1' };
const found = (
  settings: Readonly<Record<string, string>>,
  { partitions = 1, replicas = 3, brokers = 3 } = {},
): readonly string[] =>
  kafkaFindings({
    topic: 'shop',
    keepMs: 86_400_000,
    brokers,
    found: { partitions, replicas, settings: new Map(Object.entries({ ...sound, ...settings })) },
  }).map(({ severity, check, cure }) => `${severity} ${check} ${cure ? 'cured' : ''}`);

suite('what a topic of Kafka may be', () => {
  test('one partition, three replicas of which two acknowledge, and no limits have no fault', () =>
    assert.deepEqual(found({}), []));

  test('every setting that can lose what was acknowledged is found, with its cure', () => {
    assert.deepEqual(found({}, { replicas: 1, brokers: 1 }), ['warning broker-durability cured']);
    assert.deepEqual(found({}, { replicas: 2 }), ['warning broker-durability cured']);
    assert.deepEqual(found({ 'min.insync.replicas': '1' }), ['warning broker-durability cured']);
    assert.deepEqual(found({ 'unclean.leader.election.enable': 'true' }), ['blocker broker-durability cured']);
    assert.deepEqual(found({}, { partitions: 2 }), ['blocker broker-order cured']);
    for (const settings of [{ 'cleanup.policy': 'compact,delete' }, { 'retention.ms': '3600000' }])
      assert.deepEqual(found(settings), ['blocker broker-retention cured']);
    for (const settings of [{ 'retention.ms': '604800000' }, { 'retention.bytes': '1000000000' }])
      assert.deepEqual(found(settings), ['warning broker-retention cured']);
    assert.deepEqual(found({ 'max.message.bytes': '100000' }), ['blocker broker-message-size cured']);
  });
});

test('asks a real server, and forgets a topic without its settings', {
  skip: skipReason(kafka),
  timeout: 120_000,
}, async ({ signal }) => {
  await using server = await openBrokerServer(kafka);
  const place = { bootstrap: [`127.0.0.1:${server.port}`], topic: 'shop' };
  await using inspector = await openKafkaInspector({ ...place, keepMs: 7_200_000 });
  const checks = async () => (await inspector.check(signal)).map(({ check }) => check);
  assert.deepEqual(await checks(), ['broker-durability']);
  const admin = (await kafkaClients(place)).admin();
  await admin.createTopics({
    topics: ['shop'],
    partitions: 1,
    replicas: 1,
    configs: [{ name: 'retention.ms', value: '3600000' }],
  });
  await admin.close();
  {
    await using writer = await openKafkaBroker(place, signal);
    await writer.append(first, whole(1));
  }
  assert.deepEqual(await checks(), ['broker-durability', 'broker-retention']);
  await inspector.forget(signal);
  assert.deepEqual(await checks(), ['broker-durability', 'broker-retention']);
  await using writer = await openKafkaBroker(place, signal);
  assert.ok(await writer.isEmpty());
});
