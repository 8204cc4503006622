import type { Batch, Change, Ddl, RowChange, Rows, Sequences } from '../../change/change.ts';
import { bytesOf } from '../../change/codec.ts';
import { Packing } from '../../change/packing.ts';
import { isBefore, type Position } from '../../change/position.ts';
import type { Table } from '../../change/table.ts';
import { positionOf, type Timeline } from '../../engine/postgres/lsn.ts';
import { assert, unreachable } from '../../error.ts';
import type { Decoded, RowMessage } from './pgoutput.ts';

export interface AssembleOptions {
  /** Names the history that the positions belong to. */
  readonly system: string;
  /** On which branch of it the server is. */
  readonly timeline?: Timeline;
  /** Where the first batch follows on. */
  readonly after: Position;
  /** A transaction that grows beyond this is handed on in pieces. */
  readonly pieceBytesMax: number;
  /** Whole transactions are handed on once together they reach this, or when `take` asks. */
  readonly batchBytesMax: number;
  /** Changes of other tables are left out; their transactions stay, without them. */
  readonly wanted: (table: Table) => boolean;
}

/** A batch and the bytes that it holds, near enough for limits. */
export interface Sized {
  readonly batch: Batch;
  readonly bytes: number;
}

/** Puts decoded messages together into batches: whole transactions, or pieces of one that is too big to hold. Pure: told what
 *  came, asked what is ready. */
export class Assembly {
  readonly #options: AssembleOptions;
  readonly #wantedTables = new Map<Table, boolean>();
  #sealed: Sized[] = [];
  #after: Position;
  #heap: Heap = new Loose();
  #wholeEnd: Position | undefined;
  #transaction: bigint | undefined;
  #inPieces = false;
  /** The open transaction changes the schema. */
  #hasDdl = false;
  /** Some rows are left out: then a row that stays would hold the memory of all that came with it from the socket. */
  #isSparse = false;

  constructor(options: AssembleOptions) {
    this.#options = options;
    this.#after = options.after;
  }

  add(message: Exclude<Decoded, { kind: 'relation' | 'type' }> | Ddl | Rows | Sequences): void {
    switch (message.kind) {
      case 'insert':
      case 'update':
      case 'delete':
        assert(this.#transaction !== undefined, 'A change outside a transaction');
        if (!this.#isWanted(message.table)) this.#isSparse = true;
        else this.#put(this.#isSparse ? detached(message) : message);
        return;
      case 'truncate': {
        const tables = message.tables.filter((table) => this.#isWanted(table));
        if (tables.length > 0) this.#put({ ...message, tables });
        return;
      }
      case 'ddl':
        assert(this.#transaction !== undefined, 'A schema change outside a transaction');
        // Its transaction is a batch by itself.
        if (this.#heap.wholeCount > 0) this.#sealWhole();
        this.#hasDdl = true;
        this.#put(message);
        return;
      case 'rows':
      case 'sequences':
        this.#put(message);
        return;
      case 'begin':
        assert(this.#transaction === undefined, 'A transaction began within another');
        this.#transaction = message.transaction;
        return;
      case 'logical message':
        // One outside any transaction has no place in commit order: its sender chose that it may be seen early, or twice.
        if (this.#transaction !== undefined)
          this.#put({ kind: 'message', prefix: message.prefix, content: message.content });
        return;
      case 'committed': {
        assert(this.#transaction !== undefined, 'A commit without a transaction');
        const position = positionOf(this.#options.system, message.end, this.#options.timeline);
        this.#put({ kind: 'commit', transaction: this.#transaction, position, committedAtUs: message.committedAtUs });
        this.#transaction = undefined;
        this.#heap.markWhole();
        this.#wholeEnd = position;
        if (this.#inPieces || this.#hasDdl || this.#heap.bytes >= this.#options.batchBytesMax) this.#sealWhole();
        this.#hasDdl = false;
        return;
      }
      case 'nothing':
        return;
      default:
        unreachable(message);
    }
  }

  /** As `add`, of a row change that lies in its place. */
  addRow(row: RowMessage): void {
    assert(this.#transaction !== undefined, 'A change outside a transaction');
    if (!this.#isWanted(row.table)) this.#isSparse = true;
    else if (this.#heap instanceof Packing) {
      this.#heap.putRow(row);
      this.#handOnPieces();
    } else this.add(row.change());
  }

  /** Whether what comes is to be written as bytes at once, as is best for what waits in a crowd: from where nothing is open on. */
  pack(isWanted: boolean): void {
    if (this.#heap.count > 0 || isWanted === this.#heap instanceof Packing) return;
    const { batchBytesMax, pieceBytesMax } = this.#options;
    this.#heap = isWanted ? new Packing(batchBytesMax + pieceBytesMax) : new Loose();
  }

  /** What waits to be taken, near enough. */
  get bytes(): number {
    return this.#sealed.reduce((sum, { bytes }) => sum + bytes, this.#heap.bytes);
  }

  /** All that is ready: whole transactions so far, and pieces. */
  take(): readonly Sized[] {
    if (this.#heap.wholeCount > 0) this.#sealWhole();
    const taken = this.#sealed;
    this.#sealed = [];
    return taken;
  }

  /** Where what was taken ends, between transactions. */
  get end(): Position {
    return this.#after;
  }

  /** Between transactions, and when all was taken: a batch of somebody else's making ends at `end`. Gives where that one follows on. */
  pass(end: Position): Position {
    assert(this.#transaction === undefined && this.#heap.count === 0, 'A batch in the middle of a transaction');
    const after = this.#after;
    assert(!isBefore(end, after), 'A batch that ends before the one before it');
    this.#after = end;
    return after;
  }

  #put(change: Change): void {
    this.#heap.put(change);
    if (change.kind !== 'commit') this.#handOnPieces();
  }

  /** A transaction that has grown too big to hold. */
  #handOnPieces(): void {
    const heap = this.#heap;
    if (heap.bytes - heap.wholeBytes < this.#options.pieceBytesMax) return;
    if (heap.wholeCount > 0) this.#sealWhole();
    const bytes = heap.bytes;
    this.#sealed.push({ batch: heap.takeAll(this.#ends(undefined)), bytes });
    this.#inPieces = true;
  }

  #sealWhole(): void {
    const bytes = this.#heap.wholeBytes;
    const end = this.#wholeEnd;
    assert(end !== undefined, 'Whole transactions without an end');
    this.#sealed.push({ batch: this.#heap.takeWhole(this.#ends(end)), bytes });
    this.#wholeEnd = undefined;
    this.#inPieces = false;
    this.#after = end;
  }

  #ends(end: Position | undefined): Omit<Batch, 'changes'> {
    return { after: this.#after, starts: !this.#inPieces, end };
  }

  #isWanted(table: Table): boolean {
    const known = this.#wantedTables.get(table);
    if (known !== undefined) return known;
    const wanted = this.#options.wanted(table);
    this.#wantedTables.set(table, wanted);
    return wanted;
  }
}

/** Changes of whole transactions, and behind them those of one that is open. `Packing` is one, too. */
interface Heap {
  readonly count: number;
  readonly wholeCount: number;
  /** Near enough for limits. */
  readonly bytes: number;
  readonly wholeBytes: number;
  put(change: Change): void;
  /** What is there belongs to whole transactions. */
  markWhole(): void;
  /** Takes out what was there at the last mark, and what came behind it stays. */
  takeWhole(ends: Omit<Batch, 'changes'>): Batch;
  takeAll(ends: Omit<Batch, 'changes'>): Batch;
}

class Loose implements Heap {
  #changes: Change[] = [];
  wholeCount = 0;
  bytes = 0;
  wholeBytes = 0;

  get count(): number {
    return this.#changes.length;
  }

  put(change: Change): void {
    this.#changes.push(change);
    this.bytes += bytesOf(change);
  }

  markWhole(): void {
    this.wholeCount = this.count;
    this.wholeBytes = this.bytes;
  }

  takeWhole(ends: Omit<Batch, 'changes'>): Batch {
    const rest = this.#changes.splice(this.wholeCount);
    const batch = { ...ends, changes: this.#changes };
    this.#changes = rest;
    this.bytes -= this.wholeBytes;
    this.wholeCount = 0;
    this.wholeBytes = 0;
    return batch;
  }

  takeAll(ends: Omit<Batch, 'changes'>): Batch {
    this.markWhole();
    return this.takeWhole(ends);
  }
}

/** The same change with rows of its own, where they were slices of what came with them. */
function detached(change: RowChange): RowChange {
  switch (change.kind) {
    case 'insert':
      return { ...change, after: Buffer.from(change.after) };
    case 'update':
      return { ...change, before: change.before && Buffer.from(change.before), after: Buffer.from(change.after) };
    case 'delete':
      return { ...change, before: Buffer.from(change.before) };
    default:
      return unreachable(change);
  }
}
