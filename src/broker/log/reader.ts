import type { Batch } from '../../change/change.ts';
import { decodeBatch } from '../../change/codec.ts';
import { type Offset, offset } from '../../change/position.ts';
import { ChangeoverError, isCode } from '../../error.ts';
import type { BrokerObservation, BrokerReader, Entry } from '../broker.ts';
import { diskFailure, errnoOf } from './disk.ts';
import { type EndWatch, watchEnd } from './end.ts';
import { readStream, segmentBases, segmentBytes } from './folder.ts';
import type { DurableEnd, StoredEntry } from './format.ts';
import { ReleaseNotes } from './retention.ts';
import { type Chunk, corrupt, openSegment, type Place, positionIn, type Segment } from './segment.ts';

/** An entry with what only the log knows of it. */
export interface LogEntry extends Entry {
  /** A label: milliseconds since 1970 by the writer's clock. */
  readonly appendedAtMs: number;
  /** In the log, with everything around the batch. */
  readonly bytes: number;
}

export interface LogReader extends BrokerReader {
  /** As the port says. The batches hold slices of what was read from the disk: rows that are kept keep about 1 MiB each alive. */
  read(from: Offset, signal: AbortSignal): AsyncIterable<LogEntry>;
}

/** Opens a log for reading, in any process. Throws BROKER_EMPTY when there is none, BROKER_CORRUPT, BROKER_FORMAT, BROKER_IO. */
export async function openLogReader({ folder }: { readonly folder: string }, signal: AbortSignal): Promise<LogReader> {
  const stream = await readStream(folder);
  signal.throwIfAborted();
  if (stream === undefined) throw new ChangeoverError('BROKER_EMPTY', `There is no log in ${folder}`);
  return new LogFolderReader(folder, stream, watchEnd(folder, stream));
}

interface Opened {
  readonly segment: Segment;
  readonly end: DurableEnd;
}

class LogFolderReader implements LogReader {
  readonly stream: string;
  readonly #folder: string;
  readonly #end: EndWatch;
  readonly #notes: ReleaseNotes;
  readonly #closing = new AbortController();
  /** The last place that was asked for: `status` asks for places that move forward, and need not count from the segment's start. */
  #lastPlace: (Place & { readonly base: Offset }) | undefined;

  constructor(folder: string, stream: string, end: EndWatch) {
    this.#folder = folder;
    this.stream = stream;
    this.#end = end;
    this.#notes = new ReleaseNotes(folder);
  }

  async *read(from: Offset, signal: AbortSignal): AsyncGenerator<LogEntry, void> {
    const stop = AbortSignal.any([signal, this.#closing.signal]);
    const { state } = await this.#end.now(stop);
    if (from > state.next) throw gap(from, `the log ends before ${state.next}`);
    const opened = await this.#openAt(from, stop);
    if (!opened) return;
    let { segment, end } = opened;
    try {
      if (from > segment.base) await this.#hurry(segment, offset(from - 1), end);
      while (!stop.aborted) {
        const limit = end.segment === segment.base ? end.position : await segment.size();
        const chunk = await segment.read(limit);
        for (const entry of chunk.entries) {
          if (stop.aborted) return;
          if (entry.offset >= from) yield decoded(this.#folder, segment.base, chunk, entry);
        }
        if (chunk.broken) throw corrupt(this.#folder, chunk.broken);
        if (chunk.entries.length > 0) continue;
        if (end.segment > segment.base) {
          const next = await this.#openNext(segment);
          await segment[Symbol.asyncDispose]();
          segment = next;
        } else {
          const newer = await this.#end.after(end, stop);
          if (!newer) return;
          end = newer;
        }
      }
    } finally {
      await segment[Symbol.asyncDispose]();
    }
  }

  release(consumer: string, from: Offset): Promise<void> {
    return this.#notes.release(consumer, from);
  }

  async observe(): Promise<BrokerObservation> {
    const end = await this.#end.now(this.#closing.signal);
    const sizes = new Map<Offset, number>();
    for (const base of await segmentBases(this.#folder)) {
      const bytes = base === end.segment ? end.position : await sizeOrGone(this.#folder, base);
      if (base <= end.segment && bytes !== undefined) sizes.set(base, bytes);
    }
    const bytesBehind = (base: Offset): number =>
      [...sizes].reduce((sum, [other, bytes]) => sum + (other > base ? bytes : 0), 0);
    const first = sizes.keys().next().value ?? end.state.next;
    return {
      stream: this.stream,
      first,
      next: end.state.next,
      bytes: bytesBehind(first) + (sizes.get(first) ?? 0),
      epoch: end.state.epoch,
      end: end.state.end,
      bytesFrom: async (from) => {
        if (from >= end.state.next) return 0;
        const base = [...sizes.keys()].findLast((one) => one <= from) ?? first;
        const bytes = sizes.get(base) ?? 0;
        return bytes - (await this.#positionOf(base, from, bytes)) + bytesBehind(base);
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    await this.#notes[Symbol.asyncDispose]();
    this.#end[Symbol.dispose]();
  }

  /** The segment that holds `from`, or would, and an end that knows of it; undefined once `signal` aborts. Tries again where the writer
   *  trims between the look and the opening. */
  async #openAt(from: Offset, signal: AbortSignal): Promise<Opened | undefined> {
    for (;;) {
      const bases = await segmentBases(this.#folder);
      // Perhaps closed meanwhile: then there is no end to ask for.
      if (signal.aborted) return undefined;
      // Asked after the look: an older one may name a segment that was trimmed by then, and knows nothing of the entries of a newer.
      const end = await this.#end.now(signal);
      // A segment behind the published end is only being made: its head may not be there yet.
      const base = bases.findLast((one) => one <= from && one <= end.segment);
      if (base === undefined) throw gap(from, `the log begins with ${bases[0] ?? 'nothing'}`);
      const segment = await this.#open(base);
      if (segment) return { segment, end };
    }
  }

  /** Lets the segment go on behind `last`, which the caller has: what lies before it was checked when it was read, and is not his matter. Where
   *  it does not stand there whole, the segment is read from its start, and shows what is broken. */
  async #hurry(segment: Segment, last: Offset, end: DurableEnd): Promise<void> {
    const limit = end.segment === segment.base ? end.position : await segment.size();
    const start = { next: segment.base, position: segment.headBytes };
    await segment.beginBehind(await placeFrom(start, { segment, to: last, limit }), limit);
  }

  async #openNext(before: Segment): Promise<Segment> {
    const { next, chain, epoch } = before.link;
    if (next === before.base)
      throw corrupt(this.#folder, {
        segment: next,
        offset: next,
        position: before.position,
        why: 'the segment is empty',
      });
    const segment = await this.#open(next);
    if (!segment) {
      const bases = await segmentBases(this.#folder);
      if ((bases[0] ?? 0) > next) throw gap(next, `the log begins with ${bases[0]}`);
      throw corrupt(this.#folder, { segment: next, offset: next, position: 0, why: 'the segment is missing' });
    }
    const opens = segment.head.before;
    if (opens.chain.equals(chain) && opens.epoch === epoch) return segment;
    await segment[Symbol.asyncDispose]();
    const why = 'it does not follow the segment before it';
    throw corrupt(this.#folder, { segment: next, offset: next, position: 0, why });
  }

  /** Undefined when there is no such segment. */
  async #open(base: Offset): Promise<Segment | undefined> {
    try {
      const segment = await openSegment(this.#folder, base, this.stream);
      if (segment) return segment;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw diskFailure(error, `Opening segment ${base} of ${this.#folder}`);
    }
    throw corrupt(this.#folder, { segment: base, offset: base, position: 0, why: 'its head is damaged' });
  }

  /** Where the entry `from` begins in the file of `base`. */
  async #positionOf(base: Offset, from: Offset, limit: number): Promise<number> {
    await using segment = await this.#open(base);
    if (!segment) return limit;
    const known = this.#lastPlace;
    const isOnTheWay = known?.base === base && known.next <= from;
    const start = isOnTheWay ? known : { next: base, position: segment.headBytes };
    const place = await placeFrom(start, { segment, to: from, limit });
    this.#lastPlace = { base, ...place };
    return place.position;
  }
}

interface Way {
  readonly segment: Segment;
  readonly to: Offset;
  readonly limit: number;
}

/** The place of the entry `to`, by lengths alone. */
async function placeFrom(start: Place, { segment, to, limit }: Way): Promise<Place> {
  let place = start;
  while (place.next < to && place.position < limit) place = await segment.skip(place, to, limit);
  return place;
}

function decoded(folder: string, segment: Offset, chunk: Chunk, entry: StoredEntry): LogEntry {
  let batch: Batch;
  try {
    batch = decodeBatch(entry.payload);
  } catch (error) {
    if (!isCode(error, 'BROKER_CORRUPT') || !(error instanceof Error)) throw error;
    throw corrupt(folder, { segment, offset: entry.offset, position: positionIn(chunk, entry), why: error.message });
  }
  const { epoch, appendedAtMs } = entry;
  return { offset: entry.offset, epoch, batch, appendedAtMs, bytes: entry.whole.length };
}

const gap = (from: Offset, why: string): ChangeoverError =>
  new ChangeoverError('BROKER_GAP', `Entry ${from} is not in the log: ${why}`);

async function sizeOrGone(folder: string, base: Offset): Promise<number | undefined> {
  try {
    return await segmentBytes(folder, base);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw diskFailure(error, `Looking at segment ${base} of ${folder}`);
  }
}
