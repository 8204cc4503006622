import { answerPrefix } from './ask.ts';
import { unreadable } from './bytes.ts';
import { kinds } from './kinds.ts';
import type { Table } from './table.ts';

/** Row changes, commits and messages that nobody acts on, as the bytes they came in (codec.ts). For who folds them by the hundred
 *  thousand: an object for each, and one for its row, cost more than all that is done with them. */
export interface Packed {
  /** Of the whole batch. */
  readonly bytes: Buffer;
  /** Where the first change begins. */
  readonly at: number;
  readonly count: number;
  readonly tables: readonly Table[];
  /** Of the last commit. */
  readonly committedAtUs: bigint | undefined;
}

/** Looks at `count` changes that begin at `at` and should reach the end. Undefined where one of them is of another kind. Throws
 *  BROKER_CORRUPT. */
export function packedAt(bytes: Buffer, at: number, count: number, tables: readonly Table[]): Packed | undefined {
  try {
    return walk(bytes, at, count, tables);
  } catch (error) {
    if (error instanceof RangeError) throw unreadable('it ends in the middle of a change');
    throw error;
  }
}

function walk(bytes: Buffer, at: number, count: number, tables: readonly Table[]): Packed | undefined {
  let place = at;
  let committedAt = -1;
  for (let left = count; left > 0; left -= 1) {
    const kind = bytes[place];
    if (kind === kinds.insert || kind === kinds.update || kind === kinds.delete) {
      const table = bytes.readUInt32BE(place + 1);
      if (table >= tables.length) throw unreadable(`it names table ${table} of ${tables.length}`);
      place = endOfRows(bytes, place);
    } else if (kind === kinds.commit) {
      committedAt = endOfPosition(bytes, place + 9);
      place = committedAt + 8;
    } else if (kind === kinds.message && !isAnswerAt(bytes, place)) place = endOfMessage(bytes, place);
    else return undefined;
  }
  if (place !== bytes.length) throw unreadable('bytes are left over');
  const committedAtUs = committedAt < 0 ? undefined : bytes.readBigInt64BE(committedAt);
  return { bytes, at, count, tables, committedAtUs };
}

function endOfRows(bytes: Buffer, change: number): number {
  if (bytes[change] !== kinds.update) return endOfBytes(bytes, change + 5);
  return endOfBytes(bytes, bytes[change + 5] === 1 ? endOfBytes(bytes, change + 6) : change + 6);
}

const endOfBytes = (bytes: Buffer, at: number): number => at + 4 + bytes.readUInt32BE(at);
const endOfText = (bytes: Buffer, at: number): number => at + 2 + bytes.readUInt16BE(at);
const endOfPosition = (bytes: Buffer, at: number): number => endOfText(bytes, endOfText(bytes, at) + 8);
const endOfMessage = (bytes: Buffer, change: number): number => endOfBytes(bytes, endOfText(bytes, change + 1));

const isAnswerAt = (bytes: Buffer, change: number): boolean =>
  bytes.toString('utf8', change + 3, endOfText(bytes, change + 1)) === answerPrefix;

/** Steps from row change to row change. What it tells is of the one that `next` came to. */
export class PackedCursor {
  readonly #packed: Packed;
  #left: number;
  #next: number;
  /** Its place among the changes. */
  index = -1;
  kind: 'insert' | 'update' | 'delete' = 'insert';
  /** The row: as it is, or of a deleted one, as it was. From `at` to `end`. */
  readonly bytes: Buffer;
  at = 0;
  end = 0;
  /** The row of an update as it was; -1 where it does not say. */
  beforeAt = -1;
  beforeEnd = -1;
  table: Table | undefined;

  constructor(packed: Packed) {
    this.#packed = packed;
    this.bytes = packed.bytes;
    this.#left = packed.count;
    this.#next = packed.at;
  }

  /** False at the end. */
  next(): boolean {
    const { bytes } = this;
    while (this.#left > 0) {
      const change = this.#next;
      const kind = bytes[change];
      this.#left -= 1;
      this.index += 1;
      if (kind === kinds.commit) {
        this.#next = endOfPosition(bytes, change + 9) + 8;
      } else if (kind === kinds.message) {
        this.#next = endOfMessage(bytes, change);
      } else {
        this.kind = kind === kinds.insert ? 'insert' : kind === kinds.update ? 'update' : 'delete';
        this.table = this.#packed.tables[bytes.readUInt32BE(change + 1)];
        const hasBefore = kind === kinds.update && bytes[change + 5] === 1;
        this.beforeAt = hasBefore ? change + 10 : -1;
        this.beforeEnd = hasBefore ? endOfBytes(bytes, change + 6) : -1;
        this.at = (hasBefore ? this.beforeEnd : kind === kinds.update ? change + 6 : change + 5) + 4;
        this.end = endOfBytes(bytes, this.at - 4);
        this.#next = this.end;
        return true;
      }
    }
    return false;
  }
}
