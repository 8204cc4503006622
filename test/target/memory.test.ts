import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '../../src/error.ts';
import { type MemoryTarget, openMemoryTarget } from '../../src/target/memory/memory.ts';
import { content, insert, items } from '../conformance/rows.ts';
import { targetConformance } from '../conformance/target.ts';
import { checkpointAt, type TargetUnderTest } from '../conformance/target-under-test.ts';

const underTest = (memory: MemoryTarget): TargetUnderTest => ({
  async create(table, unique = []) {
    const key = table.columns.filter((column) => column.key).map((column) => column.name);
    memory.seen.create({
      schema: table.schema,
      name: table.name,
      columns: table.columns.map((column) => column.name),
      unique: [...(key.length > 0 ? [key] : []), ...unique.map((column) => [column])],
    });
  },
  open: async () => memory.open(),
  content: async (table) => content(...memory.seen.rowsOf(table)),
  meddle: async (changes) => memory.seen.write(changes, 'kept'),
  async moveCheckpoint(checkpoint) {
    memory.seen.checkpoint = checkpoint;
  },
  drifted: async () => memory.seen.drifted,
  async [Symbol.asyncDispose]() {},
});

targetConformance('memory', async () => underTest(openMemoryTarget()));

test('a crash takes rows and checkpoint back to the last flush, together', async ({ signal }) => {
  const memory = openMemoryTarget();
  await underTest(memory).create(items);
  const target = memory.open();
  for (const at of [1, 2]) {
    await using transaction = await target.begin(signal);
    await transaction.write([insert(items, String(at), 'x')]);
    await transaction.commit(checkpointAt(at));
    if (at === 1) await target.flush();
  }
  memory.crash();
  await assert.rejects(target.begin(signal), (error) => isCode(error, 'TARGET_UNREACHABLE'));
  assert.deepEqual(content(...memory.seen.rowsOf(items)), content(['1', 'x']));
  assert.deepEqual(await memory.open().checkpoint(signal), checkpointAt(1));
});
