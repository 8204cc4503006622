import { createHash } from 'node:crypto';
import type { Batch } from '../../src/change/change.ts';
import { epoch, type Position } from '../../src/change/position.ts';

export const first = epoch(1);

export const position = (order: number): Position => ({ origin: 'test', order: BigInt(order), token: `0/${order}` });

/** Content that tells one batch from another, of so many bytes. Beyond what the golden files hold, it takes as many when compressed. */
function content(order: number, bytes: number): Buffer {
  const name = `batch ${order} `;
  return bytes <= 1000
    ? Buffer.alloc(bytes, name)
    : createHash('shake256', { outputLength: bytes }).update(name).digest();
}

/** One transaction that ends at `order`, behind the one that ended at `order - 1`. */
export const whole = (order: number, bytes = 40): Batch => ({
  after: order === 1 ? undefined : position(order - 1),
  starts: true,
  changes: [
    { kind: 'message', prefix: 'test', content: content(order, bytes) },
    { kind: 'commit', transaction: BigInt(order), position: position(order), committedAtUs: 1_700_000_000_000_000n },
  ],
  end: position(order),
});

/** A piece of the transaction that will end at `order`. */
export const piece = (order: number, kind: 'starts' | 'continues'): Batch => ({
  ...whole(order),
  starts: kind === 'starts',
  changes: [{ kind: 'message', prefix: 'piece', content: content(order, 40) }],
  end: undefined,
});

/** `count` transactions, the first of which ends at `from`. */
export const wholes = (count: number, from = 1, bytes = 40): Batch[] =>
  Array.from({ length: count }, (_, index) => whole(from + index, bytes));
