import type { Batch } from '../../change/change.ts';
import { decodeBatch } from '../../change/codec.ts';
import { isSame, type Offset, type Position } from '../../change/position.ts';
import { ChangeoverError, isCode } from '../../error.ts';
import type { Entry } from '../broker.ts';
import { diskFailure, errnoOf } from './disk.ts';
import { watchEnd } from './end.ts';
import { readStream, segmentBases } from './folder.ts';
import type { DurableEnd, LogState } from './format.ts';
import { type Broken, openSegment, positionIn, type Segment } from './segment.ts';

export interface LogCounts {
  readonly segments: number;
  readonly entries: number;
  readonly bytes: number;
}

/** What a verification says, in order: one `segment` for each that holds, then either `broken` or `whole`, and nothing more. */
export type LogFinding =
  | {
      readonly kind: 'segment';
      readonly first: Offset;
      readonly next: Offset;
      readonly entries: number;
      readonly bytes: number;
      /** So far, with this one. */
      readonly total: LogCounts;
    }
  | ({ readonly kind: 'broken'; readonly total: LogCounts } & Broken)
  | {
      readonly kind: 'whole';
      readonly stream: string;
      readonly first: Offset;
      /** How the log stands at its durable end; `state.chain` names all of it, to compare with a copy. */
      readonly state: LogState;
      readonly total: LogCounts;
    };

export interface VerifyOptions {
  readonly folder: string;
  /** Makes what proves each entry besides, given one after the other: it throws where the entry does not belong there. */
  readonly opening?: (stream: string) => Promise<OpenEntry>;
}

export type OpenEntry = (entry: Entry, signal: AbortSignal) => Promise<unknown>;

/** Reads the whole log, up to what was durable at the call: checksums, hash chain within and across segments, offsets without a gap,
 *  epochs that never shrink, and that each batch begins where the one before ended. May run beside a writer that does not trim.
 *  Throws BROKER_EMPTY, BROKER_IO, and BROKER_CORRUPT only where no place can be named; the reason of `signal`. */
export async function* verifyLog(
  { folder, opening }: VerifyOptions,
  signal: AbortSignal,
): AsyncGenerator<LogFinding, void> {
  const stream = await readStream(folder);
  if (stream === undefined) throw new ChangeoverError('BROKER_EMPTY', `There is no log in ${folder}`);
  using watch = watchEnd(folder, stream);
  const end = await watch.now(signal);
  const first = (await segmentBases(folder))[0] ?? end.segment;
  const open = await opening?.(stream);
  let total: LogCounts = { segments: 0, entries: 0, bytes: 0 };
  let before: Standing | undefined;
  for (;;) {
    const base: Offset = before?.state.next ?? first;
    const { standing, bytes, broken } = await walkSegment({ folder, stream, base, end, before, open }, signal);
    if (broken) {
      yield { kind: 'broken', ...broken, total };
      return;
    }
    const { next } = standing.state;
    const entries = next - base;
    total = { segments: total.segments + 1, entries: total.entries + entries, bytes: total.bytes + bytes };
    yield { kind: 'segment', first: base, next, entries, bytes, total };
    if (base === end.segment) {
      yield { kind: 'whole', stream, first, state: standing.state, total };
      return;
    }
    before = standing;
  }
}

/** What is known behind an entry. */
interface Standing {
  readonly state: LogState;
  /** Whether a run of pieces is open. Unknown at first: what began it may have been trimmed. */
  readonly run: 'open' | 'none' | 'unknown';
}

interface Walk {
  readonly folder: string;
  readonly stream: string;
  readonly base: Offset;
  readonly end: DurableEnd;
  readonly before: Standing | undefined;
  readonly open: OpenEntry | undefined;
}

type Walked =
  | { readonly standing: Standing; readonly bytes: number; readonly broken?: undefined }
  | { readonly standing?: undefined; readonly bytes?: undefined; readonly broken: Broken };

async function walkSegment({ folder, stream, base, end, before, open }: Walk, signal: AbortSignal): Promise<Walked> {
  const head = { segment: base, offset: base, position: 0 };
  await using segment = await openPresent(folder, base, stream);
  if (!segment) return { broken: { ...head, why: 'the segment is missing, or its head is damaged' } };
  if (before && !isSameState(segment.head.before, before.state))
    return { broken: { ...head, why: 'it does not follow the segment before it' } };

  const bytes = base === end.segment ? end.position : await segment.size();
  const run = before?.run ?? 'unknown';
  const standing = await walkEntries(
    { segment, limit: bytes, from: { state: segment.head.before, run }, open },
    signal,
  );
  if ('why' in standing) return { broken: standing };
  const { state } = standing;
  const rest = { segment: base, offset: state.next, position: bytes };
  // The end names the last hash: an entry exchanged for another that is right in itself shows here at the latest.
  if (base === end.segment && !isSameState(state, end.state))
    return { broken: { ...rest, why: 'the log does not end as its writer recorded' } };
  if (base !== end.segment && state.next === base) return { broken: { ...rest, why: 'the segment is empty' } };
  return { standing, bytes };
}

interface EntriesWalk {
  readonly segment: Segment;
  readonly limit: number;
  readonly from: Standing;
  readonly open: OpenEntry | undefined;
}

async function walkEntries(
  { segment, limit, from, open }: EntriesWalk,
  signal: AbortSignal,
): Promise<Standing | Broken> {
  let { end } = from.state;
  let { run } = from;
  for (;;) {
    signal.throwIfAborted();
    const chunk = await segment.read(limit);
    for (const entry of chunk.entries) {
      const batch = decodedOrWhy(entry.payload);
      // What opens it knows more of what is wrong with it than the positions show.
      const why =
        typeof batch === 'string'
          ? batch
          : ((open && (await openedOrWhy(open, { ...entry, batch }, signal))) ?? misplaced(batch, end, run));
      if (typeof batch === 'string' || why !== undefined)
        return { segment: segment.base, offset: entry.offset, position: positionIn(chunk, entry), why: why ?? '' };
      end = batch.end ?? end;
      run = batch.end ? 'none' : 'open';
    }
    if (chunk.broken) return chunk.broken;
    if (chunk.entries.length === 0) return { state: { ...segment.link, end }, run };
  }
}

function decodedOrWhy(payload: Buffer): Batch | string {
  try {
    return decodeBatch(payload);
  } catch (error) {
    if (isCode(error, 'BROKER_CORRUPT') && error instanceof Error) return error.message;
    throw error;
  }
}

async function openedOrWhy(open: OpenEntry, entry: Entry, signal: AbortSignal): Promise<string | undefined> {
  try {
    await open(entry, signal);
    return undefined;
  } catch (error) {
    if (isCode(error, 'BROKER_TAMPERED', 'BROKER_NOT_SEALED') && error instanceof Error) return error.message;
    throw error;
  }
}

/** Why a batch cannot stand behind what ended at `end`, or undefined. Positions chain: invariant 5. */
function misplaced(batch: Batch, end: Position | undefined, run: Standing['run']): string | undefined {
  if (!isSame(batch.after, end)) return `it begins after ${said(batch.after)}, the one before ended at ${said(end)}`;
  if (!batch.starts && run === 'none') return 'it continues a piece, but none is open';
  return undefined;
}

const said = (position: Position | undefined): string => (position ? position.token : 'nothing');

const isSameState = (a: LogState, b: LogState): boolean =>
  a.next === b.next && a.epoch === b.epoch && a.chain.equals(b.chain) && isSame(a.end, b.end);

async function openPresent(folder: string, base: Offset, stream: string): Promise<Segment | undefined> {
  try {
    return await openSegment(folder, base, stream);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw diskFailure(error, `Opening segment ${base} of ${folder}`);
  }
}
