import assert from 'node:assert/strict';
import type { Change } from '../../src/change/change.ts';
import { epoch, offset } from '../../src/change/position.ts';
import type { Table } from '../../src/change/table.ts';
import { type Code, isCode } from '../../src/error.ts';
import type { Checkpoint, Target } from '../../src/target/target.ts';
import { type Content, write } from './rows.ts';

/** One empty secondary, and what a test needs to see it from outside. */
export interface TargetUnderTest extends AsyncDisposable {
  /** Makes a table whose columns are texts; its key, if it has one, and each of `unique` are kept unique. */
  create(table: Table, unique?: readonly string[]): Promise<void>;
  open(signal: AbortSignal): Promise<Target>;
  /** What a stranger's session sees of a table: each row's values, in no order. */
  content(table: Table): Promise<Content>;
  /** A stranger's writes, past every checkpoint. */
  meddle(changes: readonly Change[]): Promise<void>;
  /** Another process moves the checkpoint, though it should not. */
  moveCheckpoint(checkpoint: Checkpoint): Promise<void>;
  drifted(): Promise<number>;
}

export type Open = () => Promise<TargetUnderTest>;

export const rejects = (promise: Promise<unknown>, ...codes: Code[]): Promise<void> =>
  assert.rejects(promise, (error) => isCode(error, ...codes) || assert.fail(String(error)));

export const checkpointAt = (at: number, position = true): Checkpoint => ({
  stream: 'stream',
  epoch: epoch(1),
  offset: offset(at),
  position: position ? { origin: '7', order: BigInt(at) * 8n, token: `0/${at}` } : undefined,
});

/** A secondary with these tables, and a writer on it. */
export async function prepared(open: Open, tables: readonly (readonly [Table, string[]?])[], signal: AbortSignal) {
  const there = await open();
  for (const [table, columns] of tables) await there.create(table, columns);
  const target = await there.open(signal);
  return {
    there,
    target,
    /** One transaction. */
    async write(at: number, changes: readonly Change[], order: 'kept' | 'net' = 'kept'): Promise<void> {
      await using transaction = await target.begin(signal);
      await write(transaction, changes, order);
      await transaction.commit(checkpointAt(at));
    },
    async [Symbol.asyncDispose]() {
      await target[Symbol.asyncDispose]();
      await there[Symbol.asyncDispose]();
    },
  };
}

/** A server may need a moment to notice that a writer has gone. */
export async function openWhenFree(there: TargetUnderTest, signal: AbortSignal): Promise<Target> {
  for (;;) {
    try {
      return await there.open(signal);
    } catch (error) {
      if (!isCode(error, 'TARGET_BUSY')) throw error;
    }
  }
}
