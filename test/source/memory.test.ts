import { setImmediate } from 'node:timers/promises';
import { type MemorySource, openMemorySource } from '../../src/source/memory/memory.ts';
import { sourceConformance } from '../conformance/source.ts';
import type { SourceUnderTest } from '../conformance/source-under-test.ts';

const underTest = (memory: MemorySource): SourceUnderTest => ({
  create: async (table) => memory.create(table),
  open: () => memory.open(),
  async commit(changes) {
    memory.commit(changes);
    // A client elsewhere: others have their turn between two transactions.
    await setImmediate();
  },
  kept: async () => memory.kept?.order,
  sessions: async () => memory.readers,
  lose: async (left) => memory.lose(left),
  async [Symbol.asyncDispose]() {},
});

sourceConformance('memory', async () => underTest(openMemorySource({ pieceBytesMax: 4_000_000 })));
