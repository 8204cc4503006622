import { type Offset, offset } from '../change/position.ts';
import { ChangeoverError } from '../error.ts';
import type { Carried, Carrier, Extent } from './carrier.ts';
import {
  decodeRecord,
  type EntriesRecord,
  emptyState,
  type Part,
  type StreamRecord,
  type StreamState,
} from './record.ts';
import { Sieve } from './sieve.ts';

/** Records to look at before one that is to be trusted, at a server that does not fence: a writer that was followed can leave one
 *  behind the claim, since it then looks, and four are more than three such writers, one right after the other, can leave. */
const strayRecordsMax = 4;

export interface FoundEnd {
  readonly extent: Extent;
  /** Has seen the records before `extent.next`. */
  readonly sieve: Sieve;
  readonly state: StreamState;
}

export const decoded = (carrier: Carrier, { place, bytes }: Carried): StreamRecord =>
  decodeRecord(bytes, `${place} of ${carrier.name}`);

/** How far the stream is. Throws BROKER_GAP where the server has forgotten all that would tell. */
export async function findEnd(carrier: Carrier, signal: AbortSignal): Promise<FoundEnd> {
  const extent = await carrier.extent();
  const { first, next } = extent;
  let look = carrier.isFenced ? 1 : strayRecordsMax;
  for (;;) {
    const from = Math.max(first, next - look);
    const sieve = new Sieve(carrier.name);
    for await (const one of between(carrier, { first: from, next }, signal))
      sieve.warm(decoded(carrier, one), one.place);
    signal.throwIfAborted();
    if (sieve.state) return { extent, sieve, state: sieve.state };
    if (from > first) look *= 4;
    else if (first === 0) return { extent, sieve, state: emptyState };
    else
      throw new ChangeoverError(
        'BROKER_GAP',
        `${carrier.name} has forgotten all entries, and with them how far it was`,
        {
          hint: 'The retention there is shorter than this lane was down. Lengthen it (changeover check tells how long it is), then copy only what differs: changeover resync.',
        },
      );
  }
}

/** The records at the places of `extent`. */
export async function* between(
  carrier: Carrier,
  { first, next }: Extent,
  signal: AbortSignal,
): AsyncGenerator<Carried, void> {
  if (first >= next) return;
  if (next - first === 1) {
    const one = await carrier.at(first);
    if (one && one.place < next) yield one;
    return;
  }
  for await (const one of carrier.read(first, signal)) {
    if (one.place >= next) return;
    yield one;
    if (one.place === next - 1) return;
  }
}

/** Where to read so that `from` comes whole, unless it was forgotten. */
export interface Start {
  /** The last place whose record begins before `from`, or the first. */
  readonly place: number;
  /** Where to begin, so that strays are known for what they are. */
  readonly warmFrom: number;
}

export async function findStart(carrier: Carrier, from: Offset, extent: Extent): Promise<Start> {
  let low = extent.first;
  let high = extent.next;
  let term = 0;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const found = await telling(carrier, { first: middle, next: high }, term);
    if (!found || found.record.before.next >= from) high = middle;
    else {
      low = found.place;
      term = found.record.term;
    }
  }
  return { place: low, warmFrom: carrier.isFenced ? low : Math.max(extent.first, low - strayRecordsMax) };
}

/** The first record that says exactly how far the stream is. Claims do not, and those of a writer that was followed mislead. */
async function telling(
  carrier: Carrier,
  { first, next }: Extent,
  term: number,
): Promise<{ readonly place: number; readonly record: EntriesRecord | Part } | undefined> {
  for (let place = first; place < next; ) {
    const one = await carrier.at(place);
    if (!one || one.place >= next) return undefined;
    const record = decoded(carrier, one);
    if (record.kind !== 'claim' && record.term >= term) return { place: one.place, record };
    place = one.place + 1;
  }
  return undefined;
}

/** The first entry that is held whole, and the bytes of all before it. Undefined: there is none, not even a part. */
export async function findFirst(
  carrier: Carrier,
  extent: Extent,
): Promise<{ readonly offset: Offset; readonly bytes: number } | undefined> {
  const found = await telling(carrier, extent, 0);
  if (!found) return undefined;
  const { record } = found;
  const { next, bytes } = record.before;
  if (record.kind === 'part' && record.index > 0) return { offset: offset(next + 1), bytes: bytes + record.wholeBytes };
  return { offset: next, bytes };
}
