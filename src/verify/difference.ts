import type { Key } from '../change/key.ts';
import type { Digest, Hashed } from '../change/view.ts';

/* What two answers to one question tell. Pure. */

/** `missing` at the secondary; `extra` there; or there, and `different`. */
export type Kind = 'missing' | 'extra' | 'different';

export interface Difference {
  readonly kind: Kind;
  /** Empty where the table has no key: then so many rows are alike. */
  readonly key: Key;
  readonly rows: number;
}

/** The buckets that are not the same, in ascending order. */
export function differing(source: ReadonlyMap<number, Digest>, target: ReadonlyMap<number, Digest>): readonly number[] {
  const buckets = new Set([...source.keys(), ...target.keys()]);
  const isSame = (bucket: number): boolean => {
    const [there, here] = [source.get(bucket), target.get(bucket)];
    return there?.rows === here?.rows && there?.sum === here?.sum;
  };
  return [...buckets].filter((bucket) => !isSame(bucket)).toSorted((a, b) => a - b);
}

export const rowsOf = (digests: ReadonlyMap<number, Digest>): number =>
  digests.values().reduce((sum, { rows }) => sum + rows, 0);

/** Row by row, by their keys; by what they are where they have none. */
export function differences(source: readonly Hashed[], target: readonly Hashed[]): readonly Difference[] {
  const there = grouped(source);
  const here = grouped(target);
  const found: Difference[] = [];
  for (const name of new Set([...there.keys(), ...here.keys()])) {
    const [left, right] = [there.get(name) ?? [], here.get(name) ?? []];
    const key = (left[0] ?? right[0])?.key ?? [];
    if (key.length === 0) {
      const more = left.length - right.length;
      if (more !== 0) found.push({ kind: more > 0 ? 'missing' : 'extra', key, rows: Math.abs(more) });
    } else if (left.length === 0) found.push({ kind: 'extra', key, rows: right.length });
    else if (right.length === 0) found.push({ kind: 'missing', key, rows: left.length });
    else if (hashesOf(left) !== hashesOf(right)) found.push({ kind: 'different', key, rows: 1 });
  }
  return found;
}

const grouped = (rows: readonly Hashed[]): ReadonlyMap<string, readonly Hashed[]> =>
  Map.groupBy(rows, ({ key, hash }) => (key.length === 0 ? hash : JSON.stringify(key)));

/** What is a key at the primary need not be one here: then there are several. */
const hashesOf = (rows: readonly Hashed[]): string =>
  rows
    .map(({ hash }) => hash)
    .toSorted()
    .join(',');
