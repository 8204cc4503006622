import type { Key } from './key.ts';
import type { Row } from './row.ts';
import type { Table } from './table.ts';

/** What one side shows of itself at one position, for comparing: the same question to either side has the same answer where the rows
 *  are the same. Lives as long as it is open. */
export interface View extends AsyncDisposable {
  /** The tables that are carried, as they travel: only of the source. */
  tables(): Promise<readonly Carried[]>;
  /** What this side does not have of a table, in words. Undefined: nothing is missing. */
  lacks(table: Table): Promise<string | undefined>;
  /** Two sides whose servers give other words hash otherwise, and must be digested here. */
  hashing(): Promise<string>;
  /** One digest for each bucket that holds rows. */
  digests(question: Question): Promise<ReadonlyMap<number, Digest>>;
  /** The rows of some buckets, in no order. */
  hashes(question: Question, buckets: readonly number[]): Promise<readonly Hashed[]>;
  /** The rows with these keys. */
  rows(question: Question, keys: readonly Key[]): Promise<readonly Row[]>;
}

export interface Carried {
  readonly table: Table;
  /** Near enough. */
  readonly rows: number;
  readonly bytes: number;
  /** Its values are changed on the way: no server can digest what travels. */
  readonly masked: boolean;
}

export interface Question {
  readonly table: Table;
  /** A power of two. Rows are dealt out by their keys, or by all of them where they have none: whatever sorts them on either side. */
  readonly buckets: number;
  /** Whether rows are hashed by us instead of by the server. */
  readonly here: boolean;
}

/** `sum` stands for all rows in any order: the sums of two hashes of 64 bits. */
export interface Digest {
  readonly rows: number;
  readonly sum: string;
}

export interface Hashed {
  /** Empty where the table has no key. */
  readonly key: Key;
  readonly hash: string;
}
