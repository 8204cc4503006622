import { randomUUID } from 'node:crypto';
import type { Batch, Change, RowChange, Truncate } from '../../change/change.ts';
import { bytesOf } from '../../change/codec.ts';
import type { Position } from '../../change/position.ts';
import type { Table } from '../../change/table.ts';
import { ChangeoverError } from '../../error.ts';
import type { Source } from '../source.ts';
import { copyTextOf, MemoryRows } from './rows.ts';

/** A source that lives as long as this process, for tests and simulation: as strict as the others, and it really forgets what was
 *  acknowledged. A schema statement of it is the table as JSON: schema, name, columns, unique. */
export interface MemorySource {
  open(): Source;
  create(table: Table): void;
  /** One transaction of a client. */
  commit(changes: readonly (RowChange | Truncate)[]): Position;
  /** Up to here it may have forgotten. Undefined: it keeps nothing for us. */
  readonly kept: Position | undefined;
  readonly readers: number;
  /** What it keeps for us is gone; with `theirs`, something of somebody else stands in its place. */
  lose(left: 'nothing' | 'theirs'): void;
}

export interface MemorySourceOptions {
  /** A transaction beyond this is handed on in pieces. */
  readonly pieceBytesMax: number;
}

interface Transaction {
  readonly position: Position;
  readonly changes: readonly Change[];
}

export function openMemorySource({ pieceBytesMax }: MemorySourceOptions): MemorySource {
  const origin = randomUUID();
  const at = (order: bigint): Position => ({ origin, order, token: `memory/${order}` });
  const rows = new MemoryRows();
  let log: Transaction[] = [];
  let end = at(1n);
  /** What a slot is to PostgreSQL. */
  let kept: Position | undefined;
  let reader: Reader | undefined;
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const one of waiting) one();
  };

  /** Resolves at the next commit, or when the reader is cut off. */
  async function changed(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.add(resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    waiting.delete(resolve);
  }

  function prove(after: Position): void {
    if (after.origin !== origin) throw lost(after, 'belongs to another history');
    if (!kept) throw new ChangeoverError('SOURCE_SLOT_LOST', `Nothing is kept after ${after.token}`);
    if (kept.order > after.order) throw lost(after, `is forgotten up to ${kept.token}`);
    if (after.order > end.order) throw lost(after, `lies behind the end, ${end.token}`);
  }

  async function* snapshot(again: boolean, signal: AbortSignal): AsyncGenerator<Batch> {
    if (kept && !again) throw new ChangeoverError('SOURCE_SLOT_FOREIGN', 'Something is kept here for somebody else');
    yield { after: undefined, starts: true, changes: [], end: undefined };
    kept = end;
    const here = end;
    const all = rows.all();
    const tables = all.map(({ table }) => table);
    const piece = (changes: readonly Change[], end?: Position): Batch => ({
      after: undefined,
      starts: false,
      changes,
      end,
    });
    const statements = tables.map((table) => ({
      object: `table ${table.name}`,
      sql: JSON.stringify(statementOf(table)),
    }));
    yield piece([{ kind: 'snapshot', tables }]);
    yield piece([{ kind: 'schema', statements }]);
    for (const { table, rows } of all) {
      signal.throwIfAborted();
      if (rows.length > 0) yield piece([{ kind: 'rows', table, count: rows.length, block: copyTextOf(rows) }]);
    }
    signal.throwIfAborted();
    yield piece([], here);
  }

  async function* read(after: Position, signal: AbortSignal): AsyncGenerator<Batch> {
    signal.throwIfAborted();
    prove(after);
    // One reader: a former one is taken for a self that died unnoticed.
    reader?.cut();
    const mine = new Reader(wake);
    reader = mine;
    try {
      for (let from = after; ; ) {
        signal.throwIfAborted();
        mine.prove();
        const ready = log.filter(({ position }) => position.order > from.order);
        if (ready.length === 0) await changed(signal);
        for (const batch of batchesOf(from, ready, pieceBytesMax)) {
          yield batch;
          from = batch.end ?? from;
          mine.prove();
        }
      }
    } finally {
      if (reader === mine) reader = undefined;
    }
  }

  return {
    create: (table) => rows.create(table),
    commit(changes) {
      for (const change of changes) rows.write(change);
      end = at(end.order + 8n);
      const committedAtUs = BigInt(Date.now()) * 1000n;
      const commit: Change = { kind: 'commit', transaction: end.order, position: end, committedAtUs };
      log.push({ position: end, changes: [...changes, commit] });
      wake();
      return end;
    },
    get kept() {
      return kept;
    },
    get readers() {
      return reader ? 1 : 0;
    },
    lose(left) {
      kept = left === 'theirs' ? end : undefined;
      reader?.cut();
    },
    open: () => {
      const closing = new AbortController();
      const both = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, closing.signal]);
      return {
        snapshot: ({ again }, signal) => snapshot(again, both(signal)),
        read: (after, signal) => read(after, both(signal)),
        async acknowledge(position) {
          if (!reader || !kept || position.order <= kept.order) return;
          kept = position;
          log = log.filter((transaction) => transaction.position.order > position.order);
        },
        async [Symbol.asyncDispose]() {
          closing.abort(new ChangeoverError('SOURCE_UNREACHABLE', 'The source was closed'));
        },
      };
    },
  };
}

class Reader {
  readonly #wake: () => void;
  #isCut = false;

  constructor(wake: () => void) {
    this.#wake = wake;
  }

  cut(): void {
    this.#isCut = true;
    this.#wake();
  }

  prove(): void {
    if (this.#isCut) throw new ChangeoverError('SOURCE_UNREACHABLE', 'The memory source cut this reader off');
  }
}

/** One batch of all the transactions; those that are too big come in pieces of their own. */
function* batchesOf(after: Position, transactions: readonly Transaction[], pieceBytesMax: number): Generator<Batch> {
  let from = after;
  let run: Change[] = [];
  for (const { position, changes } of transactions) {
    const pieces = piecesOf(changes, pieceBytesMax);
    if (pieces.length === 1) {
      run.push(...changes);
      if (position !== transactions.at(-1)?.position) continue;
      yield { after: from, starts: true, changes: run, end: position };
      return;
    }
    const before = run.findLast((change) => change.kind === 'commit');
    if (before?.kind === 'commit') yield { after: from, starts: true, changes: run, end: before.position };
    if (before?.kind === 'commit') from = before.position;
    run = [];
    for (const [index, piece] of pieces.entries())
      yield {
        after: from,
        starts: index === 0,
        changes: piece,
        end: index === pieces.length - 1 ? position : undefined,
      };
    from = position;
  }
}

function piecesOf(changes: readonly Change[], bytesMax: number): readonly (readonly Change[])[] {
  const pieces: Change[][] = [[]];
  let bytes = 0;
  for (const change of changes) {
    if (bytes >= bytesMax) {
      pieces.push([]);
      bytes = 0;
    }
    pieces.at(-1)?.push(change);
    bytes += bytesOf(change);
  }
  return pieces;
}

const statementOf = ({ schema, name, columns }: Table): object => {
  const key = columns.filter((column) => column.key).map((column) => column.name);
  return { schema, name, columns: columns.map((column) => column.name), unique: key.length > 0 ? [key] : [] };
};

const lost = (position: Position, why: string): ChangeoverError =>
  new ChangeoverError('SOURCE_POSITION_LOST', `The position ${position.token} ${why}`);
