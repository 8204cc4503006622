import type { Batch, Change, SchemaStatement } from '../change/change.ts';
import { bytesOf } from '../change/codec.ts';
import { type Key, keyRow } from '../change/key.ts';
import type { Position } from '../change/position.ts';
import { type Table, tableName } from '../change/table.ts';
import type { Carried, Digest, Question, View } from '../change/view.ts';
import type { Foothold } from '../source/source.ts';
import { listings, questionOf } from './compare.ts';
import { differences, differing, type Kind } from './difference.ts';

/* Where the source lost what the log does not have, a bridge leads over it: one transaction in pieces, from the log's end to a foothold,
   whose rows are the net difference between what the secondaries hold and what the source shows there. To whoever applies it it is a
   transaction like any other: who reads a secondary sees the former state, and then the new one (invariants 2 and 3). */

/** A secondary that stands still. */
export interface Bank {
  readonly view: View;
  /** By the names of `tableName`: what it goes on without. */
  readonly setAside: ReadonlySet<string>;
}

export interface BridgeOptions {
  readonly foothold: Foothold;
  readonly banks: readonly Bank[];
  /** The log's end. */
  readonly after: Position;
  readonly append: (batch: Batch) => Promise<unknown>;
  readonly onTable?: ((bridged: Bridged) => void) | undefined;
}

/** What a table took. `rows` are those that are missing, extra or different, or all of a table that is copied whole. */
export interface Bridged {
  readonly table: Table;
  readonly how: 'equal' | 'rows' | 'table' | 'set aside';
  readonly rows: number;
}

/** A statement takes a few locks: as many as a snapshot puts into one piece. */
const lotStatements = 500;
/** Rows of one question, and their bytes, near enough. */
const keysMax = 500;
const pieceBytesMax = 1024 * 1024;

/** Appends the bridge; the foothold is kept before the first row is looked at, so that what is committed from then on is in its slot. */
export async function bridge(options: BridgeOptions, signal: AbortSignal): Promise<readonly Bridged[]> {
  const { foothold, after, append } = options;
  let starts = true;
  const piece = async (changes: readonly Change[], end?: Position): Promise<void> => {
    await append({ after, starts, changes, end });
    starts = false;
  };
  const { beforeRows, afterRows } = await foothold.schema();
  await piece([]);
  await foothold.keep(signal);
  for (const statements of lots(beforeRows)) await piece([{ kind: 'schema', statements }]);
  const bridged: Bridged[] = [];
  for (const carried of await foothold.view.tables()) {
    const one = await bridgeTable({ ...options, carried, give: piece }, signal);
    options.onTable?.(one);
    bridged.push(one);
  }
  for (const statements of lots(afterRows)) await piece([{ kind: 'schema', statements }]);
  const { position } = foothold;
  // No transaction of the primary's. The time is a label (invariant 16).
  const committedAtUs = BigInt(Date.now()) * 1000n;
  await piece([{ kind: 'commit', transaction: 0n, position, committedAtUs }], position);
  return bridged;
}

/** The same without the log: what a bridge would carry. */
export async function surveyed(
  options: Omit<BridgeOptions, 'append' | 'after'>,
  signal: AbortSignal,
): Promise<readonly Bridged[]> {
  const bridged: Bridged[] = [];
  for (const carried of await options.foothold.view.tables()) {
    const one = await bridgeTable({ ...options, carried, give: undefined }, signal);
    options.onTable?.(one);
    bridged.push(one);
  }
  return bridged;
}

function* lots(statements: readonly SchemaStatement[]): Generator<readonly SchemaStatement[]> {
  for (let from = 0; from < statements.length; from += lotStatements)
    yield statements.slice(from, from + lotStatements);
}

interface OneTable {
  readonly foothold: Foothold;
  readonly banks: readonly Bank[];
  readonly carried: Carried;
  /** Undefined: it is only counted. */
  readonly give: ((changes: readonly Change[]) => Promise<void>) | undefined;
}

async function bridgeTable({ foothold, banks, carried, give }: OneTable, signal: AbortSignal): Promise<Bridged> {
  const { table } = carried;
  const views = banks.filter(({ setAside }) => !setAside.has(tableName(table))).map(({ view }) => view);
  if (views.length === 0) return { table, how: 'set aside', rows: 0 };
  for (const view of views)
    if ((await view.lacks(table)) !== undefined) return whole({ foothold, carried, give }, signal);
  const question = await questionOf([foothold.view, ...views], carried);
  const [there = new Map(), ...here] = await Promise.all([foothold.view, ...views].map((one) => one.digests(question)));
  const wrong = [...new Set(here.flatMap((one) => differing(there, one)))].toSorted((a, b) => a - b);
  if (wrong.length === 0) return { table, how: 'equal', rows: 0 };
  const listing = { question, views: [foothold.view, ...views], wrong, digests: [there, ...here] };
  const isKeyed = table.columns.some(({ key }) => key);
  if (!isKeyed || (await isMostlyWrong(listing))) return whole({ foothold, carried, give }, signal);
  return { table, how: 'rows', rows: await byRows({ foothold, carried, give, listing }) };
}

type Whole = Pick<OneTable, 'foothold' | 'carried' | 'give'>;

async function whole({ foothold, carried, give }: Whole, signal: AbortSignal): Promise<Bridged> {
  const { table } = carried;
  if (!give) return { table, how: 'table', rows: carried.rows };
  await give([{ kind: 'clear', table, at: foothold.position, after: undefined, upTo: undefined }]);
  let rows = 0;
  for await (const block of foothold.rows(table, signal)) {
    rows += block.count;
    await give([block]);
  }
  return { table, how: 'table', rows };
}

interface Listing {
  readonly question: Question;
  /** The source's first. */
  readonly views: readonly View[];
  readonly wrong: readonly number[];
  readonly digests: readonly ReadonlyMap<number, Digest>[];
}

interface Wrong {
  readonly kind: Kind;
  readonly key: Key;
}

/** The wrong rows of so many buckets at a time as fit into the memory; again from the first each time. */
async function* wrongRows({ question, views, wrong, digests }: Listing): AsyncGenerator<readonly Wrong[]> {
  for (const buckets of listings(wrong, digests)) {
    const [there = [], ...here] = await Promise.all(views.map((view) => view.hashes(question, buckets)));
    const kinds = new Map<string, { readonly key: Key; readonly kinds: Kind[] }>();
    for (const one of here)
      for (const { kind, key } of differences(there, one)) {
        const name = JSON.stringify(key);
        const known = kinds.get(name) ?? { key, kinds: [] };
        known.kinds.push(kind);
        kinds.set(name, known);
      }
    yield Array.from(kinds.values(), ({ key, kinds: found }) => ({ key, kind: joint(found, here.length) }));
  }
}

/** What is missing, or extra, at each secondary is that. Anything else goes, and comes if it is there. */
function joint(kinds: readonly Kind[], sides: number): Kind {
  const [first = 'different'] = kinds;
  return kinds.length === sides && kinds.every((kind) => kind === first) ? first : 'different';
}

/** By the first rows that are listed: then all of it is faster than row by row. */
async function isMostlyWrong(listing: Listing): Promise<boolean> {
  const [buckets = []] = listings(listing.wrong, listing.digests);
  const [there = new Map<number, Digest>()] = listing.digests;
  const rows = buckets.reduce((sum, bucket) => sum + (there.get(bucket)?.rows ?? 0), 0);
  for await (const some of wrongRows(listing)) return 2 * some.filter(({ kind }) => kind !== 'extra').length > rows;
  return false;
}

interface ByRows extends Whole {
  readonly listing: Listing;
}

/** All that is wrong goes before anything comes: a unique value may have moved from any row to any other. */
async function byRows({ foothold, carried, give, listing }: ByRows): Promise<number> {
  const { table, rows, bytes } = carried;
  let count = 0;
  for await (const some of wrongRows(listing)) {
    count += some.length;
    const going = some.filter(({ kind }) => kind !== 'missing');
    const changes = going.map(({ key }) => ({ kind: 'delete' as const, table, before: keyRow(table, key) }));
    if (give) for (const part of parts(changes)) await give(part);
  }
  if (!give) return count;
  const step = Math.max(1, Math.min(keysMax, Math.floor((pieceBytesMax * Math.max(1, rows)) / Math.max(1, bytes))));
  for await (const some of wrongRows(listing)) {
    const coming = some.filter(({ kind }) => kind !== 'extra').map(({ key }) => key);
    for (let from = 0; from < coming.length; from += step) {
      const found = await foothold.view.rows(listing.question, coming.slice(from, from + step));
      for (const part of parts(found.map((after) => ({ kind: 'insert' as const, table, after })))) await give(part);
    }
  }
  return count;
}

function* parts(changes: readonly Change[]): Generator<readonly Change[]> {
  let part: Change[] = [];
  let bytes = 0;
  for (const change of changes) {
    part.push(change);
    bytes += bytesOf(change);
    if (bytes < pieceBytesMax) continue;
    yield part;
    [part, bytes] = [[], 0];
  }
  if (part.length > 0) yield part;
}
