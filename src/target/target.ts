import type { Change } from '../change/change.ts';
import type { Net } from '../change/net.ts';
import type { Epoch, Offset, Position } from '../change/position.ts';
import type { SourceProfile } from '../change/profile.ts';
import type { View } from '../change/view.ts';
import type { Finding } from '../finding.ts';

/** How far a target is, kept in the target and committed with the rows (invariant 4). */
export interface Checkpoint {
  readonly stream: string;
  readonly epoch: Epoch;
  /** The last entry applied. */
  readonly offset: Offset;
  /** The source position that the target equals. Undefined while a snapshot is being copied: not consistent yet. */
  readonly position: Position | undefined;
}

/** A place that changes are applied to. One writer at a time, held from open to dispose. */
export interface Target extends AsyncDisposable {
  /** Throws TARGET_BUSY while another process holds the target. */
  checkpoint(signal: AbortSignal): Promise<Checkpoint | undefined>;
  /** Does ahead of its turn what a `writeNet` of just this one would do: nothing, or what needs no answer of the target. At any time. */
  prepare(net: Net): void;
  begin(signal: AbortSignal): Promise<TargetTransaction>;
  /** Makes all that was committed so far survive a crash of the target. Until then a crash may take it back to an earlier
   *  checkpoint, rows and all. Only between transactions. */
  flush(): Promise<void>;
  /** Shows what is committed now to whoever asked with `id`, who finds it through an inspector. What cannot be shown is no failure of
   *  the lane. Only between transactions. */
  show(id: string, signal: AbortSignal): Promise<void>;
}

/** Rolls back when disposed uncommitted. Rows and checkpoint become durable together, or neither does. */
export interface TargetTransaction extends AsyncDisposable {
  /** In the given order, one after the other. Rows of a snapshot take the place of rows that have their key: a copy that goes on after an
   *  interruption meets its own. */
  write(changes: readonly Change[]): Promise<void>;
  /** Set by set, in any order. Where that trips over a constraint or a missing row, it undoes its own part of the transaction and throws
   *  TARGET_CONFLICT, and the caller writes the original changes in their order. */
  writeNet(net: Net): Promise<void>;
  /** Replaces the checkpoint that the transaction began with. Throws TARGET_STALE when it is not the one that is there
   *  (invariant 7): nothing is committed then. */
  commit(checkpoint: Checkpoint): Promise<void>;
}

/** A table that a secondary goes on without: it is as it was then, and wrong by now. */
export interface SetAside {
  readonly table: { readonly schema: string; readonly name: string };
  /** How far the log was. A copy of the table that begins behind it brings it back. */
  readonly since: Position;
}

export interface TargetObservation {
  readonly checkpoint: Checkpoint | undefined;
  readonly writing: boolean;
  /** Rows that were missing or in the way once the copy was whole, and were set to the source's: each is a sign of somebody writing
   *  at the secondary. */
  readonly drifted: number;
  readonly setAside: readonly SetAside[];
}

/** The questions that are asked of a target from outside the stream. */
export interface TargetInspector extends AsyncDisposable {
  observe(signal: AbortSignal): Promise<TargetObservation>;
  /** Everything that would keep replication from starting or from being right, with its cure. Without a `source` (it cannot be
   *  reached) only what the target alone tells. */
  check(source: SourceProfile | undefined, signal: AbortSignal): Promise<readonly Finding[]>;
  /** What `Target.show` shows under this id. Undefined: nothing, yet. */
  view(id: string, signal: AbortSignal): Promise<View | undefined>;
  /** From here on the lane passes over the table's rows. Throws TARGET_BUSY while a writer holds the target. */
  setAside(table: SetAside, signal: AbortSignal): Promise<void>;
  /** Takes a database that led into the lane: it equals the stream up to `checkpoint`, and is fed from there on. One that is further
   *  along by the same stream stays as it is. Throws TARGET_BUSY. */
  adopt(checkpoint: Checkpoint, signal: AbortSignal): Promise<void>;
  /** Forgets that the database was ever fed: it leads now, and what is in it is its own. Throws TARGET_BUSY. */
  resign(signal: AbortSignal): Promise<void>;
  /** Removes the checkpoint, so that a new snapshot may begin. Replicated tables stay; the snapshot empties them.
   *  Throws TARGET_BUSY while a writer holds the target. */
  forget(signal: AbortSignal): Promise<void>;
}
