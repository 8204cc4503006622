import { assert } from '../error.ts';

declare const brand: unique symbol;
/** A number or string with a meaning, made only by the function that checks it. */
export type Brand<T, B extends string> = T & { readonly [brand]: B };

/** Who leads: grows only, from 1. Invariant 7. */
export type Epoch = Brand<number, 'Epoch'>;
/** Place of an entry in a broker's stream, from 0. */
export type Offset = Brand<number, 'Offset'>;

/** A place in a source's commit order. Ordered only among positions of one `origin`. */
export interface Position {
  /** Which history: for PostgreSQL the system identifier. Unequal origins cannot be compared. */
  readonly origin: string;
  /** Monotone in commit order: for PostgreSQL the end LSN of a commit record. */
  readonly order: bigint;
  /** The source's own words for the place, for people and for resuming: for PostgreSQL `16/B374D848`. */
  readonly token: string;
}

export function epoch(value: number): Epoch {
  assert(Number.isSafeInteger(value) && value >= 1, `Not an epoch: ${value}`);
  return value as Epoch;
}

export function offset(value: number): Offset {
  assert(Number.isSafeInteger(value) && value >= 0, `Not an offset: ${value}`);
  return value as Offset;
}

export const nextOffset = (current: Offset): Offset => offset(current + 1);

export function isBefore(a: Position, b: Position): boolean {
  assert(a.origin === b.origin, `Positions of ${a.origin} and ${b.origin} cannot be ordered`);
  return a.order < b.order;
}

export const isSame = (a: Position | undefined, b: Position | undefined): boolean =>
  a?.order === b?.order && a?.origin === b?.origin;
