import { type MemoryBroker, openMemoryBroker } from '../../src/broker/memory/memory.ts';
import { type BrokerUnderTest, brokerConformance } from '../conformance/broker.ts';

const underTest = (broker: MemoryBroker): BrokerUnderTest => ({
  openWriter: async () => broker.openWriter(),
  openReader: async () => broker.openReader(),
  afterCrash: async () => underTest(broker.copy()),
  async [Symbol.asyncDispose]() {},
});

brokerConformance('memory', async () => underTest(openMemoryBroker()));
