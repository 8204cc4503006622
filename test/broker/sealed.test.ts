import { openLogReader } from '../../src/broker/log/reader.ts';
import { openLogBroker } from '../../src/broker/log/writer.ts';
import { openSealedReader } from '../../src/broker/seal/reader.ts';
import { openSealedBroker } from '../../src/broker/seal/writer.ts';
import { type BrokerUnderTest, brokerConformance } from '../conformance/broker.ts';
import { copyOf, type TemporaryFolder, temporaryFolder } from './folder.ts';
import { memoryRing } from './keys.ts';

const ring = memoryRing();

const underTest = (folder: TemporaryFolder): BrokerUnderTest => {
  const openReader = (signal: AbortSignal) => openLogReader({ folder: folder.path }, signal);
  return {
    async openWriter(signal) {
      const limits = { segmentBytesMax: 64 * 1024, keepBytes: 0, keepMs: 0 };
      const broker = await openLogBroker({ folder: folder.path, ...limits }, signal);
      return openSealedBroker({ broker, openReader, ring }, signal);
    },
    openReader: async (signal) => openSealedReader(await openReader(signal), ring),
    afterCrash: async () => underTest(await copyOf(folder.path)),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
};

brokerConformance('log, sealed', async () => underTest(await temporaryFolder()));
