import { openLogReader } from '../../src/broker/log/reader.ts';
import { openLogBroker } from '../../src/broker/log/writer.ts';
import { type BrokerUnderTest, brokerConformance } from '../conformance/broker.ts';
import { copyOf, type TemporaryFolder, temporaryFolder } from './folder.ts';

const underTest = (folder: TemporaryFolder): BrokerUnderTest => ({
  openWriter: (signal) =>
    openLogBroker({ folder: folder.path, segmentBytesMax: 64 * 1024, keepBytes: 0, keepMs: 0 }, signal),
  openReader: (signal) => openLogReader({ folder: folder.path }, signal),
  afterCrash: async () => underTest(await copyOf(folder.path)),
  [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
});

brokerConformance('log', async () => underTest(await temporaryFolder()));
