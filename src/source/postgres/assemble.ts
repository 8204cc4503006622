import type { Batch, Change, Ddl, RowChange, Rows, Sequences } from '../../change/change.ts';
import { bytesOf } from '../../change/codec.ts';
import { isBefore, type Position } from '../../change/position.ts';
import type { Table } from '../../change/table.ts';
import { positionOf, type Timeline } from '../../engine/postgres/lsn.ts';
import { assert, unreachable } from '../../error.ts';
import type { Decoded } from './pgoutput.ts';

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
  #changes: Change[] = [];
  #bytes = 0;
  /** How much of the open changes belongs to whole transactions. */
  #wholeCount = 0;
  #wholeBytes = 0;
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
        if (this.#wholeCount > 0) this.#sealWhole();
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
        this.#wholeCount = this.#changes.length;
        this.#wholeBytes = this.#bytes;
        this.#wholeEnd = position;
        if (this.#inPieces || this.#hasDdl || this.#bytes >= this.#options.batchBytesMax) this.#sealWhole();
        this.#hasDdl = false;
        return;
      }
      case 'nothing':
        return;
      default:
        unreachable(message);
    }
  }

  /** What waits to be taken, near enough. */
  get bytes(): number {
    return this.#sealed.reduce((sum, { bytes }) => sum + bytes, this.#bytes);
  }

  /** All that is ready: whole transactions so far, and pieces. */
  take(): readonly Sized[] {
    if (this.#wholeCount > 0) this.#sealWhole();
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
    assert(this.#transaction === undefined && this.#changes.length === 0, 'A batch in the middle of a transaction');
    const after = this.#after;
    assert(!isBefore(end, after), 'A batch that ends before the one before it');
    this.#after = end;
    return after;
  }

  #put(change: Change): void {
    this.#changes.push(change);
    this.#bytes += bytesOf(change);
    if (this.#bytes - this.#wholeBytes < this.#options.pieceBytesMax || change.kind === 'commit') return;
    if (this.#wholeCount > 0) this.#sealWhole();
    this.#seal(this.#changes.length, this.#bytes, undefined);
    this.#inPieces = true;
  }

  #sealWhole(): void {
    this.#seal(this.#wholeCount, this.#wholeBytes, this.#wholeEnd);
    this.#inPieces = false;
  }

  #seal(count: number, bytes: number, end: Position | undefined): void {
    const changes = count === this.#changes.length ? this.#changes : this.#changes.slice(0, count);
    this.#changes = count === this.#changes.length ? [] : this.#changes.slice(count);
    this.#bytes -= bytes;
    this.#wholeCount = 0;
    this.#wholeBytes = 0;
    this.#wholeEnd = undefined;
    this.#sealed.push({ batch: { after: this.#after, starts: !this.#inPieces, changes, end }, bytes });
    if (end) this.#after = end;
  }

  #isWanted(table: Table): boolean {
    const known = this.#wantedTables.get(table);
    if (known !== undefined) return known;
    const wanted = this.#options.wanted(table);
    this.#wantedTables.set(table, wanted);
    return wanted;
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
