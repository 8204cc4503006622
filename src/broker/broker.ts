import type { Batch } from '../change/change.ts';
import type { Epoch, Offset, Position } from '../change/position.ts';
import type { Finding } from '../finding.ts';

/** A batch at its place in the stream. */
export interface Entry {
  readonly offset: Offset;
  readonly epoch: Epoch;
  readonly batch: Batch;
}

/** A durable, ordered, replayable stream with one writer. */
export interface Broker extends AsyncDisposable {
  /** Names the stream for ever: a checkpoint taken on one stream means nothing on another. */
  readonly stream: string;
  /** Resolves once the batch would survive a crash. Throws EPOCH_FENCED below the highest epoch seen. */
  append(epoch: Epoch, batch: Batch): Promise<Offset>;
  /** Where capture resumes: the end of the last entry that has one. Undefined: nothing whole was captured yet. */
  tail(): Promise<Position | undefined>;
  /** Nothing was ever appended, not even a piece. */
  isEmpty(): Promise<boolean>;
}

/** The reading side, also for a process that does not write. */
export interface BrokerReader extends AsyncDisposable {
  readonly stream: string;
  /** Durable entries from `from` on, then new ones as they come, until `signal` aborts. Throws BROKER_GAP when `from` was
   *  trimmed away or lies behind the end, BROKER_CORRUPT when bytes do not match their checksum or chain. */
  read(from: Offset, signal: AbortSignal): AsyncIterable<Entry>;
  /** `consumer` needs nothing before `from` any more: the broker may trim what nobody needs. */
  release(consumer: string, from: Offset): Promise<void>;
  observe(): Promise<BrokerObservation>;
}

/** Questions to the broker itself, whatever is in the stream. */
export interface BrokerInspector extends AsyncDisposable {
  /** What would keep it from holding what it has acknowledged, for as long as it is needed. */
  check(signal: AbortSignal): Promise<readonly Finding[]>;
  /** Removes the stream, for a new copy. */
  forget(signal: AbortSignal): Promise<void>;
}

/** What a broker says of itself, for `status`. */
export interface BrokerObservation {
  readonly stream: string;
  /** First entry still held, and the one that the next append gets. */
  readonly first: Offset;
  readonly next: Offset;
  readonly bytes: number;
  readonly epoch: Epoch | undefined;
  /** End of the last entry that has one. */
  readonly end: Position | undefined;
  /** Bytes of entries from `from` on. */
  bytesFrom(from: Offset): Promise<number>;
}
