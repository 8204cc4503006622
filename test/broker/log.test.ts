import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openLogReader } from '../../src/broker/log/reader.ts';
import { openLogBroker } from '../../src/broker/log/writer.ts';
import { offset } from '../../src/change/position.ts';
import { type BrokerUnderTest, brokerConformance } from '../conformance/broker.ts';
import { first, wholes } from './batches.ts';
import { copyOf, type TemporaryFolder, temporaryFolder } from './folder.ts';

const underTest = (folder: TemporaryFolder): BrokerUnderTest => ({
  openWriter: (signal) =>
    openLogBroker({ folder: folder.path, segmentBytesMax: 64 * 1024, keepBytes: 0, keepMs: 0 }, signal),
  openReader: (signal) => openLogReader({ folder: folder.path }, signal),
  afterCrash: async () => underTest(await copyOf(folder.path)),
  [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
});

brokerConformance('log', async () => underTest(await temporaryFolder()));

test('a reader is woken, not left to its poll', { timeout: 60_000 }, async ({ signal }) => {
  await using folder = await temporaryFolder();
  await using writer = await openLogBroker({ folder: folder.path }, signal);
  await using reader = await openLogReader({ folder: folder.path }, signal);
  const entries = reader.read(offset(0), signal)[Symbol.asyncIterator]();
  const began = performance.now();
  for (const batch of wholes(200)) {
    const coming = entries.next();
    await writer.append(first, batch);
    await coming;
  }
  await entries.return?.();
  const tookMs = performance.now() - began;
  assert.ok(tookMs < 200 * 25, `${tookMs} ms: as slow as the poll`);
});
