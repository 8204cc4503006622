import assert from 'node:assert/strict';
import type { Batch, Change, RowChange, Truncate } from '../../src/change/change.ts';
import { isSame, type Position } from '../../src/change/position.ts';
import { cells } from '../../src/change/row.ts';
import type { Table } from '../../src/change/table.ts';
import { type Code, isCode } from '../../src/error.ts';
import type { Source } from '../../src/source/source.ts';
import { parseCopyText } from '../../src/target/memory/copy-text.ts';
import { type Content, content } from './rows.ts';

/** One primary with nothing of ours in it, and what a test needs to get at it from outside. */
export interface SourceUnderTest extends AsyncDisposable {
  /** Makes a table whose columns are texts. */
  create(table: Table): Promise<void>;
  /** It hands a transaction on in pieces when it grows beyond a few MB. */
  open(): Source;
  /** One transaction of a client. */
  commit(changes: readonly (RowChange | Truncate)[]): Promise<void>;
  /** Up to where the primary may forget. Undefined: it keeps nothing for us. */
  kept(): Promise<bigint | undefined>;
  /** How many sessions of ours the primary sees. */
  sessions(): Promise<number>;
  /** What the primary keeps for us is gone; with `theirs`, something that we did not make is in its place. */
  lose(left: 'nothing' | 'theirs'): Promise<void>;
}

export type Open = () => Promise<SourceUnderTest>;

export const rejects = (promise: Promise<unknown>, ...codes: Code[]): Promise<void> =>
  assert.rejects(promise, (error) => isCode(error, ...codes) || assert.fail(String(error)));

/** What a client did: the changes between two commits. */
export interface Transaction {
  readonly changes: readonly Change[];
  readonly count: number;
  readonly position: Position;
  readonly transaction: bigint;
}

export interface Copy {
  readonly at: Position;
  readonly pieces: readonly Batch[];
  /** The tables that it announces. */
  readonly tables: readonly Table[];
  content(table: Table): Content;
}

/** A whole snapshot. */
export async function copyOf(source: Source, signal: AbortSignal, again = false): Promise<Copy> {
  const pieces: Batch[] = [];
  for await (const piece of source.snapshot({ again }, signal)) pieces.push(piece);
  const at = pieces.at(-1)?.end;
  assert.ok(at, 'A snapshot ends with its position');
  assert.ok(pieces.every((piece, index) => piece.starts === (index === 0)));
  assert.ok(pieces.every((piece) => piece.end === undefined || piece === pieces.at(-1)));
  assert.ok(
    pieces[0]?.changes.every(({ kind }) => kind === 'message'),
    'What is made at the source is told before anything is read',
  );
  const changes = pieces.slice(1).flatMap((piece) => piece.changes);
  const [announced] = changes;
  assert.ok(announced?.kind === 'snapshot');
  const rowsOf = (table: Table) =>
    changes.flatMap((change) =>
      change.kind === 'rows' && change.table.name === table.name ? parseCopyText(change.block) : [],
    );
  return { at, pieces, tables: announced.tables, content: (table) => content(...rowsOf(table)) };
}

/** Leaves a snapshot while its piece number `count` is being taken. */
export async function leaveSnapshot(
  source: Source,
  { count }: { readonly count: number },
  signal: AbortSignal,
): Promise<void> {
  let taken = 0;
  for await (const _piece of source.snapshot({ again: false }, signal)) {
    taken += 1;
    if (taken === count) return;
  }
}

export interface ReadOptions {
  readonly after: Position;
  readonly enough: number;
  readonly each?: (batch: Batch) => Promise<void>;
  /** Changes are counted and not kept. */
  readonly forget?: boolean;
}

/** Reads from `after` on until `enough` transactions of clients are there, and proves on the way that the batches chain. Heartbeats are
 *  nobody's transaction. */
export async function readFrom(
  source: Source,
  { after, enough, each, forget = false }: ReadOptions,
  signal: AbortSignal,
): Promise<readonly Transaction[]> {
  const found: Transaction[] = [];
  let open: Change[] = [];
  let count = 0;
  let end = after;
  let inPieces = false;
  if (enough === 0) return found;
  for await (const batch of source.read(after, signal)) {
    assert.ok(isSame(batch.after, end), `A batch follows ${batch.after?.token}, where ${end.token} was the end`);
    assert.equal(batch.starts, !inPieces);
    for (const change of batch.changes) {
      if (change.kind !== 'commit') {
        if (!forget) open.push(change);
        if (change.kind !== 'message') count += 1;
        continue;
      }
      if (count > 0) found.push({ ...change, changes: open, count });
      open = [];
      count = 0;
    }
    inPieces = batch.end === undefined;
    assert.ok(inPieces || count === 0, 'An end stands at a commit');
    end = batch.end ?? end;
    await each?.(batch);
    if (found.length >= enough) break;
  }
  return found;
}

/** The cells after a change, or the key of a deleted row, as texts. */
export const valuesOf = (change: Change | undefined): (string | null)[] => {
  if (change?.kind !== 'insert' && change?.kind !== 'update' && change?.kind !== 'delete') return [];
  const row = change.kind === 'delete' ? change.before : change.after;
  return [...cells(row)].map((cell) => (Buffer.isBuffer(cell) ? cell.toString() : cell));
};

/** The content of a table after changes that follow one another, by its first column. */
export function folded(table: Table, before: Content, changes: readonly Change[]): Content {
  const rows = new Map(before.map((row) => [row[0], row]));
  for (const change of changes) {
    if (change.kind === 'truncate' && change.tables.some(({ name }) => name === table.name)) rows.clear();
    if (change.kind !== 'insert' && change.kind !== 'update' && change.kind !== 'delete') continue;
    if (change.table.name !== table.name) continue;
    const values = valuesOf(change);
    if (change.kind === 'delete') assert.ok(rows.delete(values[0] ?? null), 'A row goes that was there');
    else assert.equal(rows.has(values[0] ?? null), change.kind === 'update', 'A row comes once');
    if (change.kind !== 'delete') rows.set(values[0] ?? null, values);
  }
  return content(...rows.values());
}

/** Waits for what the primary does by itself, as soon as it has done it; the test's own deadline ends it. */
export async function settled(done: () => Promise<boolean>): Promise<void> {
  while (!(await done())) await new Promise((resolve) => setImmediate(resolve));
}
