import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { openCarriedReader } from '../../src/broker/carried-reader.ts';
import { type CarriedFinding, verifyCarried } from '../../src/broker/carried-verify.ts';
import { openCarriedBroker } from '../../src/broker/carried-writer.ts';
import { epoch } from '../../src/change/position.ts';
import { ChangeoverError, isCode } from '../../src/error.ts';
import { type BrokerUnderTest, brokerConformance, take } from '../conformance/broker.ts';
import { first, position, whole, wholes } from './batches.ts';
import { MemoryCarrier, MemoryServer } from './memory-carrier.ts';

const underTest = (server: MemoryServer): BrokerUnderTest => ({
  async openWriter(signal) {
    if (server.hasWriter) throw new ChangeoverError('BROKER_LOCKED', 'It has a writer');
    server.hasWriter = true;
    return openCarriedBroker(new MemoryCarrier(server, () => (server.hasWriter = false)), signal);
  },
  openReader: (signal) => openCarriedReader(new MemoryCarrier(server), signal),
  afterCrash: async () => underTest(server.copy()),
  async [Symbol.asyncDispose]() {},
});

brokerConformance('over a carrier', async () => underTest(new MemoryServer()));

suite('over a server that takes everything from everyone', { timeout: 60_000 }, () => {
  const readAll = async (server: MemoryServer, count: number, signal: AbortSignal): Promise<void> => {
    for (let from = 0; from < count; from += 1) {
      await using reader = await openCarriedReader(new MemoryCarrier(server), signal);
      const entries = await take(reader, from, count - from, signal);
      assert.deepEqual(
        entries.map(({ batch }) => batch.end?.order),
        wholes(count - from, from + 1).map(({ end }) => end?.order),
      );
    }
  };

  test('what was on its way when another writer began is passed over by every reader, and its append fails', async ({
    signal,
  }) => {
    for (const bytes of [40, 50_000]) {
      const server = new MemoryServer();
      const old = new MemoryCarrier(server);
      await using frozen = await openCarriedBroker(old, signal);
      for (const batch of wholes(10)) await frozen.append(first, batch);
      const { promise, resolve } = Promise.withResolvers<void>();
      old.held = promise;
      const late = frozen.append(first, whole(11, bytes));
      const failing = assert.rejects(late, (error) => isCode(error, 'BROKER_LOCKED'));
      await using young = await openCarriedBroker(new MemoryCarrier(server), signal);
      assert.deepEqual(await young.tail(), position(10));
      for (const batch of wholes(10, 11)) await young.append(first, batch);
      resolve();
      await failing;
      await assert.rejects(frozen.append(first, whole(12)), (error) => isCode(error, 'BROKER_LOCKED'));
      for (const batch of wholes(10, 21)) await young.append(first, batch);
      await readAll(server, 30, signal);
    }
  });

  test('who was followed under a newer epoch is told so', async ({ signal }) => {
    const server = new MemoryServer();
    await using old = await openCarriedBroker(new MemoryCarrier(server), signal);
    await old.append(first, whole(1));
    await using young = await openCarriedBroker(new MemoryCarrier(server), signal);
    await young.append(epoch(2), whole(2));
    await assert.rejects(old.append(first, whole(9)), (error) => isCode(error, 'EPOCH_FENCED'));
    await readAll(server, 2, signal);
  });

  test('an entry of which a writer left only some parts is void, and the next writer begins it anew', async ({
    signal,
  }) => {
    const server = new MemoryServer();
    {
      await using writer = await openCarriedBroker(new MemoryCarrier(server), signal);
      await writer.append(first, whole(1));
      await writer.append(first, whole(2, 100_000));
    }
    server.records.splice(-2);
    await using writer = await openCarriedBroker(new MemoryCarrier(server), signal);
    assert.deepEqual(await writer.tail(), position(1));
    assert.equal(await writer.append(first, whole(2, 90_000)), 1);
    await readAll(server, 2, signal);
  });

  test('a server that has forgotten everything is a gap, to a writer and to a reader', async ({ signal }) => {
    const server = new MemoryServer();
    {
      await using writer = await openCarriedBroker(new MemoryCarrier(server), signal);
      await writer.append(first, whole(1));
    }
    server.first += server.records.length;
    server.records = [];
    for (const opening of [
      () => openCarriedBroker(new MemoryCarrier(server), signal),
      () => openCarriedReader(new MemoryCarrier(server), signal),
    ])
      await assert.rejects(opening(), (error) => isCode(error, 'BROKER_GAP'));
  });

  test('a stream that was removed and begun anew is not taken for the one that a reader was opened on', async ({
    signal,
  }) => {
    const server = new MemoryServer();
    {
      await using writer = await openCarriedBroker(new MemoryCarrier(server), signal);
      await writer.append(first, whole(1));
    }
    await using reader = await openCarriedReader(new MemoryCarrier(server), signal);
    server.records = [];
    await using writer = await openCarriedBroker(new MemoryCarrier(server), signal);
    await writer.append(first, whole(1));
    await assert.rejects(take(reader, 0, 1, signal), (error) => isCode(error, 'BROKER_FOREIGN'));
  });

  test('a verification names the first entry that is broken, or missing', async ({ signal }) => {
    const server = new MemoryServer();
    await using writer = await openCarriedBroker(new MemoryCarrier(server), signal);
    for (const batch of wholes(20)) await writer.append(first, batch);
    const verdict = async () => {
      await using reader = await openCarriedReader(new MemoryCarrier(server), signal);
      const findings: CarriedFinding[] = [];
      for await (const finding of verifyCarried(reader, signal)) findings.push(finding);
      return findings.map((finding) => [
        finding.kind,
        finding.kind === 'broken' ? finding.offset : finding.total.entries,
      ]);
    };
    assert.deepEqual(await verdict(), [['whole', 20]]);
    // Two records stand before the first entry: the claim, and what says how far the stream was.
    const [damaged] = server.records.slice(9, 10);
    damaged?.writeUInt8(damaged.readUInt8(60) ^ 1, 60);
    assert.deepEqual(await verdict(), [['broken', 7]]);
    server.records.splice(9, 1);
    assert.deepEqual(await verdict(), [['broken', 7]]);
  });
});
