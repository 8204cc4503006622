import type { ControlEvent } from './control.ts';
import type { Key } from './key.ts';
import type { Packed } from './packed.ts';
import type { Position } from './position.ts';
import type { Row } from './row.ts';
import type { Table } from './table.ts';

export interface Insert {
  readonly kind: 'insert';
  readonly table: Table;
  readonly after: Row;
}

export interface Update {
  readonly kind: 'update';
  readonly table: Table;
  /** The row as it was: whole when the identity is `full`; with only its key cells (others null) when the key changed; else undefined. */
  readonly before: Row | undefined;
  readonly after: Row;
}

export interface Delete {
  readonly kind: 'delete';
  readonly table: Table;
  /** Whole when the identity is `full`, else with only its key cells (others null). */
  readonly before: Row;
}

export interface Truncate {
  readonly kind: 'truncate';
  readonly tables: readonly Table[];
  readonly cascade: boolean;
  readonly restartIdentity: boolean;
}

/** A logical message of an application or of ours (prefix `changeover`). */
export interface Message {
  readonly kind: 'message';
  readonly prefix: string;
  readonly content: Buffer;
}

/** Ends a transaction: the changes since the commit before it belong to it. */
export interface Commit {
  readonly kind: 'commit';
  /** The source's transaction number. */
  readonly transaction: bigint;
  readonly position: Position;
  /** The source's clock, microseconds since 1970. A label (invariant 16). */
  readonly committedAtUs: bigint;
}

/** Opens a snapshot: what follows, up to the batch that has an `end`, is the whole content of `tables` as of that end. */
export interface Snapshot {
  readonly kind: 'snapshot';
  readonly tables: readonly Table[];
}

/** One object of the schema, as a statement of the source's own dialect. Objects that exist already are left as they are. */
export interface SchemaStatement {
  /** For people: `table public.orders`. */
  readonly object: string;
  readonly sql: string;
}

/** Creates objects at the secondary. */
export interface Schema {
  readonly kind: 'schema';
  readonly statements: readonly SchemaStatement[];
}

/** How a table looks, in the source's words, such as `column id integer not null`. */
export interface Shape {
  readonly schema: string;
  readonly name: string;
  readonly traits: readonly string[];
}

/** A schema change of the source's, at its place in its transaction: rows behind it have the new shape. */
export interface Ddl {
  readonly kind: 'ddl';
  /** No two have the same. Empty for what needs no name. */
  readonly id: string;
  /** As it was given at the source: for people. */
  readonly statement: string;
  /** What replays it, in the source's dialect, one after the other. */
  readonly steps: readonly string[];
  /** Settings of the source's session that the steps are read with, by name. */
  readonly settings: Readonly<Record<string, string>>;
  /** Why it cannot be replayed: somebody must do it at the target by hand, and say so there. */
  readonly refusal: string | undefined;
  /** Tables as they are after it. */
  readonly shapes: readonly Shape[];
  /** What else is there after it, as the source's dialect addresses it. */
  readonly objects: readonly string[];
}

/** Where a sequence stands, as its source's engine counts. */
export interface SequenceAt {
  readonly schema: string;
  readonly name: string;
  /** In decimal digits: it may be beyond what a number holds. */
  readonly last: string;
  /** False: `last` itself is given out next. */
  readonly called: boolean;
}

/** Sequences that changed since they were looked at before. The source may have moved on since. */
export interface Sequences {
  readonly kind: 'sequences';
  readonly values: readonly SequenceAt[];
}

/** Rows of a snapshot as one block in the text format of PostgreSQL's COPY, whole rows, each ended by a newline.
 *  https://www.postgresql.org/docs/current/sql-copy.html (Text Format) */
export interface Rows {
  readonly kind: 'rows';
  readonly table: Table;
  readonly count: number;
  readonly block: Buffer;
}

/** Rows of a table go, all or those of a range of keys; those that follow in the transaction take their place. Unlike `truncate`, it was no deed of the source's: who
 *  reads the target sees the former rows until the transaction is whole. */
export interface Clear {
  readonly kind: 'clear';
  readonly table: Table;
  /** What the rows that follow are as of. */
  readonly at: Position;
  /** Behind this key, and up to that one. Undefined: from the first, to the last. */
  readonly after: Key | undefined;
  readonly upTo: Key | undefined;
}

/** An entry of the journal of who leads: no row changes by it. */
export interface Control {
  readonly kind: 'control';
  readonly event: ControlEvent;
}

/** A whole batch that only the holder of a key can read, alone in the batch that stands for it. `broker/seal` makes and opens it; what
 *  lies beyond never meets one, and refuses it if it does. */
export interface Sealed {
  readonly kind: 'sealed';
  readonly envelope: Buffer;
}

export type RowChange = Insert | Update | Delete;
export type Change =
  | RowChange
  | Truncate
  | Message
  | Commit
  | Snapshot
  | Schema
  | Ddl
  | Rows
  | Sequences
  | Clear
  | Control
  | Sealed;

/** A bounded run of whole transactions, or a piece of something too big to hold: one giant transaction, or a snapshot. */
export interface Batch {
  /** Where the batch before ended: positions chain (invariant 5). Undefined only where a stream begins. */
  readonly after: Position | undefined;
  /** False: continues the piece before it. True while a run of pieces is open: what came of that run is void, it begins again. */
  readonly starts: boolean;
  readonly changes: readonly Change[];
  /** The same, where it came as bytes and holds nothing else: then `changes` costs something at first. */
  readonly packed?: Packed | undefined;
  /** Undefined until the last piece of a run. */
  readonly end: Position | undefined;
}

export const changeCount = (batch: Batch): number => batch.packed?.count ?? batch.changes.length;

/** Microseconds since 1970 of the last commit in the batch, by the source's clock. */
export function committedAtUs(batch: Batch): bigint | undefined {
  if (batch.packed) return batch.packed.committedAtUs;
  const last = batch.changes.findLast((change) => change.kind === 'commit');
  return last?.kind === 'commit' ? last.committedAtUs : undefined;
}
