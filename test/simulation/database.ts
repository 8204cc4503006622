import type { Change } from '../../src/change/change.ts';
import type { Position } from '../../src/change/position.ts';
import { rowOf } from '../../src/change/row.ts';
import type { Table } from '../../src/change/table.ts';
import { assert } from '../../src/error.ts';
import type { Checkpoint } from '../../src/target/target.ts';
import type { Chance } from './chance.ts';

const columns = [
  { name: 'id', type: 'bigint', key: true },
  { name: 'value', type: 'text', key: false },
] as const;
export const tables = ['account', 'receipt'].map(
  (name): Table => ({ schema: 'public', name, identity: 'key', columns: [...columns] }),
);
export const tableOf = new Map(tables.map((table) => [table.name, table]));

/** One row as it is after a transaction: `account/7`. */
export interface Write {
  readonly key: string;
  /** Undefined: it goes. */
  readonly value: string | undefined;
}

/** What stands in the write-ahead log. */
interface Logged {
  readonly order: bigint;
  /** What a reader of the slot gets of it. None: it is not replicated. */
  readonly changes: readonly Change[];
  readonly undo: () => void;
}

export interface Slot {
  kept: bigint;
}

/** Of an application, or of ours. */
export interface Session {
  isOpen: boolean;
}

/** A database server at a site: rows, a write-ahead log with its own disk, a slot, a sequence, a fence. What it is asked for, it does at
 *  once; how it is asked, is the affair of the network. */
export class Database {
  readonly name: string;
  readonly origin: string;
  readonly #chance: Chance;
  isUp = true;
  /** Grows with each start: a connection belongs to one. */
  incarnation = 1;
  rows = new Map<string, string>();
  /** Of all rows, in any order. */
  digest = 0;
  checkpoint: Checkpoint | undefined;
  /** That the lane may empty its tables. */
  isCopied = false;
  /** Rows that were not as the stream has them. */
  drifted = 0;
  /** What each table is said to take: too large ones are not compared while everybody waits. */
  tableBytes = 1;
  isShut = false;
  sequence = 0n;
  slot: Slot | undefined;
  /** Who reads the slot. */
  reader: Session | undefined;
  /** Who feeds it. */
  writer: Session | undefined;
  transactions = 0n;
  readonly sessions = new Set<Session>();
  #log: Logged[] = [];
  readonly #digests = new Map<bigint, number>([[8n, 0]]);
  #end = 8n;
  /** Up to here it survives a crash. */
  flushed = 8n;
  #waiting = new Set<() => void>();

  constructor(name: string, chance: Chance) {
    this.name = name;
    this.origin = `system of ${name}`;
    this.#chance = chance;
  }

  at(order: bigint): Position {
    return { origin: this.origin, order, token: `${this.name}/${order}` };
  }

  get end(): bigint {
    return this.#end;
  }

  /** One transaction. Not durable before a flush. */
  transact(writes: readonly Write[], changes: readonly Change[] = [], also?: () => () => void): bigint {
    const before = writes.map(({ key }) => ({ key, value: this.rows.get(key) }));
    for (const write of writes) this.#put(write);
    const alsoUndo = also?.();
    this.#end += 8n;
    this.transactions += 1n;
    const order = this.#end;
    this.#digests.set(order, this.digest);
    const commit: Change = { kind: 'commit', transaction: order, position: this.at(order), committedAtUs: 0n };
    const undo = (): void => {
      for (const write of before.toReversed()) this.#put(write);
      alsoUndo?.();
    };
    this.#log.push({ order, changes: changes.length > 0 ? [...changes, commit] : [], undo });
    return order;
  }

  /** What the rows were at a position: the end of a transaction, or the place of a mark in it. */
  digestAt(order: bigint): number | undefined {
    return this.#digests.get(order) ?? this.#digests.get(order + 4n);
  }

  /** All that was logged so far is on disk now. */
  flush(): void {
    if (this.flushed === this.#end) return;
    this.flushed = this.#end;
    for (const wake of this.#waiting) wake();
  }

  /** A message in the log: what makes a place in it known. */
  emit(prefix: string): bigint {
    const order = this.transact([], [{ kind: 'message', prefix, content: Buffer.from('{}') }]);
    this.flush();
    return order;
  }

  /** What a reader of the slot can have: transactions behind `after` that are on disk. */
  readable(after: bigint): readonly Logged[] {
    let from = this.#log.length;
    while (from > 0 && (this.#log[from - 1]?.order ?? 0n) > after) from -= 1;
    return this.#log.slice(from).filter(({ order, changes }) => order <= this.flushed && changes.length > 0);
  }

  /** Calls once, at the next flush or crash. Returns what takes it back. */
  onNews(wake: () => void): () => void {
    const once = (): void => {
      this.#waiting.delete(once);
      wake();
    };
    this.#waiting.add(once);
    return () => this.#waiting.delete(once);
  }

  endSessions(): void {
    for (const session of this.sessions) session.isOpen = false;
    this.sessions.clear();
  }

  /** The server dies: what was not flushed may be gone, whole transactions from the end. */
  crash(): void {
    if (!this.isUp) return;
    this.isUp = false;
    const lost = this.#log.filter(({ order }) => order > this.flushed);
    const kept = this.#chance.between(0, lost.length);
    for (const one of lost.slice(kept).toReversed()) one.undo();
    this.#log = this.#log.slice(0, this.#log.length - lost.length + kept);
    // Positions are never given twice: after a crash the log goes on in a new page.
    this.flushed = this.#end;
    this.endSessions();
    this.reader = undefined;
    this.writer = undefined;
    for (const wake of this.#waiting) wake();
  }

  start(): void {
    if (this.isUp) return;
    this.isUp = true;
    this.incarnation += 1;
    // Like PostgreSQL, which logs sequences some steps ahead.
    this.sequence += BigInt(this.#chance.between(0, 32));
  }

  #put({ key, value }: Write): void {
    const before = this.rows.get(key);
    if (before !== undefined) this.digest = (this.digest - hashOf(key, before)) | 0;
    if (value === undefined) this.rows.delete(key);
    else {
      this.rows.set(key, value);
      this.digest = (this.digest + hashOf(key, value)) | 0;
    }
  }
}

/** FNV-1a. */
function hashOf(key: string, value: string): number {
  let hash = 0x811c9dc5;
  for (const text of [key, '\0', value])
    for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash;
}

/** The write as a row in the stream. */
export function changeOf({ key, value }: Write, isThere: boolean): Change {
  const [name = '', id = ''] = key.split('/');
  const table = tableOf.get(name);
  assert(table !== undefined, `No table ${name}`);
  const row = rowOf([Buffer.from(id), value === undefined ? null : Buffer.from(value)]);
  if (value === undefined) return { kind: 'delete', table, before: row };
  return isThere ? { kind: 'update', table, before: undefined, after: row } : { kind: 'insert', table, after: row };
}
