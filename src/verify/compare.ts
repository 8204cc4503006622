import type { Key } from '../change/key.ts';
import { cells, type Row } from '../change/row.ts';
import type { Table } from '../change/table.ts';
import type { Carried, Digest, Question, View } from '../change/view.ts';
import { type Difference, differences, differing, rowsOf } from './difference.ts';
import type { Stand } from './stand.ts';

export interface Compared {
  /** Rows at the primary. */
  readonly rows: number;
  /** What the secondary does not have of the table at all. */
  readonly lacks: string | undefined;
  readonly differences: readonly Difference[];
  /** False: there are more differences than those. */
  readonly isAll: boolean;
}

/** Rows that are looked at one by one, at once: more would fill the memory, and no person reads so many. */
const listedMax = 20_000;
/** So few rows are listed for one that differs, and so little is a digest. */
const bucketRows = 500;
const bucketsMax = 65_536;
/** What a row takes at least: the statistics of a table that was never analysed know none. */
const rowBytesMin = 60;

/** Compares one table at a stand: digests of both sides, and the rows of what differs. */
export async function compare(
  { source, target }: Pick<Stand, 'source' | 'target'>,
  { table, rows, bytes, masked }: Carried,
): Promise<Compared> {
  const lacks = await target.lacks(table);
  if (lacks !== undefined) return { rows, lacks, differences: [], isAll: false };
  const question = await questionOf([source, target], { table, rows, bytes, masked });
  const [there, ours] = await Promise.all([source.digests(question), target.digests(question)]);
  const wrong = differing(there, ours);
  const found = { rows: rowsOf(there), lacks: undefined };
  if (wrong.length === 0) return { ...found, differences: [], isAll: true };
  const [listed = []] = listings(wrong, [there, ours]);
  const [left, right] = await Promise.all([source.hashes(question, listed), target.hashes(question, listed)]);
  return { ...found, differences: differences(left, right), isAll: listed.length === wrong.length };
}

/** How these sides are asked of a table. */
export async function questionOf(sides: readonly View[], { table, rows, bytes, masked }: Carried): Promise<Question> {
  const hashing = new Set<string>();
  for (const side of sides) hashing.add(await side.hashing());
  return { table, buckets: bucketsFor(rows > 0 ? rows : bytes / rowBytesMin), here: masked || hashing.size > 1 };
}

/** Buckets whose rows are listed at once, one run after the other. */
export function* listings(
  buckets: readonly number[],
  sides: readonly ReadonlyMap<number, Digest>[],
): Generator<readonly number[]> {
  let listed: number[] = [];
  let count = 0;
  for (const bucket of buckets) {
    const rows = Math.max(...sides.map((side) => side.get(bucket)?.rows ?? 0));
    if (listed.length > 0 && count + rows > listedMax) {
      yield listed;
      [listed, count] = [[], 0];
    }
    listed.push(bucket);
    count += rows;
  }
  if (listed.length > 0) yield listed;
}

/** A power of two, so that a bucket is some bits of a hash. */
const bucketsFor = (rows: number): number =>
  Math.min(bucketsMax, Math.max(16, 2 ** Math.ceil(Math.log2(Math.max(1, rows / bucketRows)))));

export interface ColumnDifference {
  readonly key: Key;
  readonly columns: readonly {
    readonly name: string;
    readonly primary: string | null;
    readonly secondary: string | null;
  }[];
}

/** Which columns of some rows differ, and what they hold. */
export async function columnsOf(
  { source, target }: Stand,
  { table, masked }: Pick<Carried, 'table' | 'masked'>,
  keys: readonly Key[],
): Promise<readonly ColumnDifference[]> {
  const question = { table, buckets: 1, here: masked };
  const [there, ours] = await Promise.all([source.rows(question, keys), target.rows(question, keys)]);
  const [left, right] = [byKey(table, there), byKey(table, ours)];
  return keys.map((key) => {
    const [primary, secondary] = [left.get(JSON.stringify(key)) ?? [], right.get(JSON.stringify(key)) ?? []];
    const columns = table.columns.flatMap(({ name }, place) => {
      const [was, is] = [primary[place] ?? null, secondary[place] ?? null];
      return was === is ? [] : [{ name, primary: was, secondary: is }];
    });
    return { key, columns };
  });
}

type Texts = readonly (string | null)[];

const byKey = (table: Table, rows: readonly Row[]): ReadonlyMap<string, Texts> =>
  new Map(
    rows.map((row) => {
      const texts = [...cells(row)].map((cell) => (Buffer.isBuffer(cell) ? cell.toString() : null));
      return [JSON.stringify(texts.filter((_, place) => table.columns[place]?.key)), texts] as const;
    }),
  );
