import type { SequenceValue } from '../change/control.ts';
import type { Position } from '../change/position.ts';

/** What control takes hold of at a site, whichever side it is on: who may write there, and what it must know to lead. Every deed may be
 *  done twice. */
export interface Helm extends AsyncDisposable {
  /** A look at a site that leads. Read-only. */
  sight(signal: AbortSignal): Promise<Sighting>;
  /** What bears on a change of the lead. Read-only, but that the fence is tried in a transaction which is rolled back. */
  survey(signal: AbortSignal): Promise<Survey>;
  /** Shuts out everybody who could write, ends their sessions, and proves it. Throws CONTROL_FENCE_OPEN where one still gets in, or holds
   *  a prepared transaction. */
  shut(signal: AbortSignal): Promise<Shut>;
  /** Lets those in again whom `shut` shut out. Resolves to their names. */
  open(signal: AbortSignal): Promise<readonly string[]>;
  /** Moves sequences beyond `values`, and `beyond` steps more; with `beyond` also past what is in the tables. Never back. Resolves to how
   *  many there are. */
  raise(
    raising: { readonly values: Readonly<Record<string, SequenceValue>>; readonly beyond: number },
    signal: AbortSignal,
  ): Promise<number>;
  /** The replicated tables with the bytes that they take. */
  sizes(signal: AbortSignal): Promise<ReadonlyMap<string, number>>;
  /** Of each table the number of its rows and what stands for all of their texts, in any order. */
  digests(tables: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, TableDigest>>;
}

export interface Sighting {
  /** The end of all that anybody may have been told is committed. */
  readonly position: Position;
  /** Writing transactions that were ever begun: grows by one with each. */
  readonly transactions: bigint;
  readonly sequences: Readonly<Record<string, SequenceValue>>;
}

export interface Survey {
  /** That may log in and write. */
  readonly writers: readonly string[];
  /** Of those that our role may not shut out. */
  readonly beyondUs: readonly string[];
  /** Sessions of others in the name of roles that no fence shuts out: `role (application)`. */
  readonly unfenced: readonly string[];
  readonly prepared: number;
  /** What must be at the other side too before it leads: triggers with when they fire, valid constraints and indexes. */
  readonly definitions: readonly string[];
  readonly sequences: readonly string[];
}

export interface Shut {
  readonly roles: readonly string[];
  /** Those whose login was tried and refused. */
  readonly proved: readonly string[];
  readonly unfenced: readonly string[];
}

export interface TableDigest {
  readonly rows: number;
  readonly digest: string;
}
