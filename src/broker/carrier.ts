import type { Offset } from '../change/position.ts';

/** A record at its place. */
export interface Carried {
  /** The server's own number: it grows, from 0. */
  readonly place: number;
  readonly bytes: Buffer;
}

/** What a server holds: the first record's place, and the place that the next one gets. */
export interface Extent {
  readonly first: number;
  readonly next: number;
}

/** What an adapter makes of its server: an ordered, durable, replayable sequence of records. What every remote broker needs on top of
 *  that (epochs, fencing, offsets without holes, batches of any size) is built once, in the files beside this one.
 *  A connection that fails is not mended here: everything then throws BROKER_UNREACHABLE, and whoever supervises opens anew. */
export interface Carrier extends AsyncDisposable {
  /** For people: `stream shop of NATS`. */
  readonly name: string;
  readonly recordBytesMax: number;
  /** The server itself takes a record only at the expected place, and so none of a writer that another one has followed. Else they can
   *  come, and readers pass over them. */
  readonly isFenced: boolean;
  /** How much later than acknowledged a record may show in `extent`, milliseconds. */
  readonly behindMsMax: number;
  /** Puts records at the end, in this order; resolves to their places once they would survive a crash. `expected`: the place of the
   *  first, if nobody else writes; a server that fences throws BROKER_LOCKED when it is not. After any failure the outcome is unknown. */
  publish(records: readonly Buffer[], expected: number): Promise<readonly number[]>;
  /** Records at `from` and behind, then new ones as they come, until `signal` aborts. Where the server has forgotten some it goes on
   *  with the first that it holds. */
  read(from: number, signal: AbortSignal): AsyncIterable<Carried>;
  /** The first record at `place` or behind. Undefined: there is none. */
  at(place: number): Promise<Carried | undefined>;
  extent(): Promise<Extent>;
  /** Undefined: what is kept, and for how long, is the server's own business. */
  readonly retention: Retention | undefined;
}

/** Where we decide what the server forgets. */
export interface Retention {
  /** `consumer` needs nothing before `from`. */
  note(consumer: string, from: Offset): Promise<void>;
  notes(): Promise<ReadonlyMap<string, Offset>>;
  /** Lets the server forget every record before `place`. */
  trim(place: number): Promise<void>;
}
