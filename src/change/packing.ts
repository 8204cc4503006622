import { Writer } from './bytes.ts';
import type { Batch, Change, RowChange } from './change.ts';
import { decodeBatch, writeChange, writeHead } from './codec.ts';
import { kinds } from './kinds.ts';
import type { Table } from './table.ts';

/** A row change in its place amid other bytes: for who takes in a backlog, an object for each change, and one for its row, is work for the
 *  collector. */
export interface PlacedRow {
  readonly kind: RowChange['kind'];
  readonly table: Table;
  readonly bytes: Buffer;
  /** The row: as it is, or of a deleted one, as it was. From `at` to `end`. */
  readonly at: number;
  readonly end: number;
  /** The row of an update as it was; -1 where it does not say. */
  readonly beforeAt: number;
  readonly beforeEnd: number;
}

/** The changes of a batch to come, written as its bytes (codec.ts) while they come. What comes out is the batch as it comes back from a
 *  log: nothing of what went in is held. */
export class Packing {
  readonly #roomBytes: number;
  #writer: Writer;
  readonly #places = new Map<Table, number>();
  #count = 0;
  #wholeCount = 0;
  #wholeBytes = 0;

  /** `roomBytes`: as much as will come, or a little more. */
  constructor(roomBytes: number) {
    this.#roomBytes = roomBytes;
    this.#writer = new Writer(roomBytes);
  }

  get count(): number {
    return this.#count;
  }

  get wholeCount(): number {
    return this.#wholeCount;
  }

  get bytes(): number {
    return this.#writer.length;
  }

  /** What is held for them. */
  get heldBytes(): number {
    return this.#writer.room;
  }

  get wholeBytes(): number {
    return this.#wholeBytes;
  }

  put(change: Change): void {
    writeChange(this.#writer, change, this.#placeOf);
    this.#count += 1;
  }

  putRow({ kind, table, bytes, at, end, beforeAt, beforeEnd }: PlacedRow): void {
    const writer = this.#writer;
    writer.u8(kinds[kind]);
    writer.u32(this.#placeOf(table));
    if (kind === 'update') {
      writer.u8(beforeAt < 0 ? 0 : 1);
      if (beforeAt >= 0) writer.slice(bytes, beforeAt, beforeEnd);
    }
    writer.slice(bytes, at, end);
    this.#count += 1;
  }

  /** What is there belongs to whole transactions. */
  markWhole(): void {
    this.#wholeCount = this.#count;
    this.#wholeBytes = this.#writer.length;
  }

  /** Takes out what was there at the last mark, and what came behind it stays. */
  takeWhole(ends: Omit<Batch, 'changes'>): Batch {
    return this.#take(ends, this.#wholeCount, this.#wholeBytes);
  }

  takeAll(ends: Omit<Batch, 'changes'>): Batch {
    return this.#take(ends, this.#count, this.#writer.length);
  }

  #take(ends: Omit<Batch, 'changes'>, count: number, bytes: number): Batch {
    const head = new Writer(1024);
    writeHead(head, ends, { tables: this.#places, count });
    head.raw(this.#writer.end().subarray(0, bytes));
    this.#writer.forget(bytes);
    this.#count -= count;
    this.#wholeCount = 0;
    this.#wholeBytes = 0;
    if (this.#count === 0) this.#places.clear();
    // What one large value needed is not kept for small ones.
    if (this.#count === 0 && this.#writer.room > this.#roomBytes) this.#writer = new Writer(this.#roomBytes);
    return decodeBatch(head.end());
  }

  readonly #placeOf = (table: Table): number => {
    const known = this.#places.get(table);
    if (known !== undefined) return known;
    const place = this.#places.size;
    this.#places.set(table, place);
    return place;
  };
}
