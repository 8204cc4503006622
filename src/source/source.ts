import type { Ask } from '../change/ask.ts';
import type { Batch, Message, Rows, SchemaStatement } from '../change/change.ts';
import type { Position } from '../change/position.ts';
import type { SourceProfile } from '../change/profile.ts';
import type { Table } from '../change/table.ts';
import type { View } from '../change/view.ts';
import type { Finding } from '../finding.ts';

/** A database whose committed changes we read, in commit order. One reader at a time. */
export interface Source extends AsyncDisposable {
  /** The whole content and schema as of one position, as one run of pieces whose last has `end` = that position; `read(end)`
   *  continues without a gap. Makes whatever the source needs for that (a slot). `again`: the broker has pieces of an earlier call,
   *  so what that call left at the source is ours to discard; else throws SOURCE_SLOT_FOREIGN when something stands there. The first
   *  piece tells at most what is about to be made at the source, so that it is known to be ours once it stands there: nothing that
   *  lasts is there before the caller asks for the next one. With the messages that those pieces held in `told`, it may go
   *  on where they end: then no piece `starts`, and what it does not send again stands there. Else the first piece alone `starts`. Throws SOURCE_UNREACHABLE, SOURCE_PRIVILEGE, SOURCE_UNSUITABLE. */
  snapshot(options: SnapshotRequest, signal: AbortSignal): AsyncIterable<Batch>;
  /** Batches committed after `after`. Pull-driven: what is ready when pulled comes as one batch. Proves first that the source
   *  still holds everything after `after`: throws SOURCE_SLOT_LOST or SOURCE_POSITION_LOST otherwise (invariant 5). */
  read(after: Position, signal: AbortSignal): AsyncIterable<Batch>;
  /** Lets the source forget its log up to `position`. Irreversible: only after the broker has it (invariant 1). */
  acknowledge(position: Position): Promise<void>;
}

export interface SnapshotRequest {
  readonly again: boolean;
  readonly told?: readonly Message[];
}

/** `reserved`: within what the source keeps anyway. `extended`: beyond that, and kept for us alone. `unreserved`: the next checkpoint may
 *  remove it. `lost`: it was removed. https://www.postgresql.org/docs/current/view-pg-replication-slots.html */
export type Kept = 'reserved' | 'extended' | 'unreserved' | 'lost';

/** What a source says of itself, for `status`: read-only, works beside a running reader. */
export interface SourceObservation {
  /** The end of the source's own log now. */
  readonly position: Position;
  /** Up to where the source may forget, as it knows it. Undefined: nothing is kept for us. */
  readonly acknowledged: Position | undefined;
  readonly reading: boolean;
  /** Bytes of log that the source keeps on our account, and the most that it would keep (undefined: no limit is set). */
  readonly retainedBytes: number;
  readonly retainedBytesMax: number | undefined;
  /** Whether what it keeps is safe, in the source's own words. Undefined: nothing is kept for us. */
  readonly kept: Kept | undefined;
  /** Bytes that may be written before it is kept no more. Undefined: no limit is set, or it is over. */
  readonly safeBytes: number | undefined;
  /** Bytes between the acknowledged position and the end of the log: what would be lost if the source vanished now.
   *  Undefined: nothing is kept for us, so nobody knows. */
  readonly notCapturedBytes: number | undefined;
}

/** A place in a source's history that can be read from, and what the source shows there. Lives as long as it is open. */
export interface Foothold extends AsyncDisposable {
  readonly position: Position;
  readonly view: View;
  /** What creates at a target what it may lack: what rows need, and what comes behind them. */
  schema(): Promise<{
    readonly beforeRows: readonly SchemaStatement[];
    readonly afterRows: readonly SchemaStatement[];
  }>;
  /** All rows of a table, in blocks. */
  rows(table: Table, signal: AbortSignal): AsyncIterable<Rows>;
  /** From here on the source keeps its log behind the position, in the place of whatever it kept for us. Only of one that is `lasting`.
   *  Throws SOURCE_SLOT_BUSY. */
  keep(signal: AbortSignal): Promise<void>;
}

export interface FootholdRequest {
  /** Must be in the source's past, and comes before the foothold. */
  readonly after: Position;
  /** Makes whatever `read` needs, but for the slot. Else nothing lasting is made. */
  readonly lasting: boolean;
}

/** The questions that are asked of a source from outside the stream. */
export interface SourceInspector extends AsyncDisposable {
  observe(signal: AbortSignal): Promise<SourceObservation>;
  /** Commits a marker and returns a position: who has reached it has all that was committed before the call, and the marker's
   *  own commit reaches it, so that also an idle source gets there. */
  mark(signal: AbortSignal): Promise<Position>;
  /** Asks whoever reads the stream, through the stream. The answer stands in the broker, at the one position that it is true of, or says
   *  why there is none; where nobody reads there is no answer. */
  ask(ask: Ask, signal: AbortSignal): Promise<void>;
  /** What a snapshot shows that an answer named. Throws SOURCE_FAILED where it is over. */
  view(snapshot: string, signal: AbortSignal): Promise<View>;
  /** Everything that would keep replication from starting or from being right, with its cure. */
  check(signal: AbortSignal): Promise<readonly Finding[]>;
  /** What the target must be able to hold, for its check. Throws SOURCE_UNREACHABLE, SOURCE_LOGIN_REFUSED. */
  profile(signal: AbortSignal): Promise<SourceProfile>;
  /** Makes whatever `read` needs, without a copy: for a database that will lead, before its first write of its own. What an earlier call
   *  left is made anew. */
  arm(signal: AbortSignal): Promise<void>;
  /** Waits for every transaction that is open now. Throws SOURCE_POSITION_LOST, SOURCE_BUSY. */
  foothold(request: FootholdRequest, signal: AbortSignal): Promise<Foothold>;
  /** Removes whatever Changeover made at the source (slot, publication). For `--restart` and for leaving.
   *  Throws SOURCE_SLOT_BUSY while a reader is connected. */
  forget(signal: AbortSignal): Promise<void>;
  /** Lets the source keep nothing more of its log for us: what is not captured is lost to the stream. Whoever reads it is cut off.
   *  Throws SOURCE_SLOT_BUSY where he does not go. */
  abandon(signal: AbortSignal): Promise<void>;
}
