import { createHash } from 'node:crypto';
import { cells, type Row } from '../../change/row.ts';
import type { Table } from '../../change/table.ts';
import { quoteIdentifier } from './identifier.ts';

/* Rows as hashes, by the server or by us. The server's: `hashtextextended` of the row's text, twice with other seeds, 128 bits together;
   summed up, so that no order matters. A row's text is that of its columns, as the stream carries them: ROW asks their types' own
   output functions, where a cast to text may say something else (a boolean is `t` on its way and `true` as a text).
   The hash comes from the bytes and the byte order of the machine: what it makes of one text tells whether two servers agree. */

export const hashingSql = `SELECT pg_catalog.hashtextextended('changeover' COLLATE "C", 1)`;

const columnsOf = (table: Table, which: (column: Table['columns'][number]) => boolean): string =>
  table.columns
    .filter(which)
    .map(({ name }) => `t.${quoteIdentifier(name)}`)
    .join(', ');

export const keyNames = (table: Table): string[] => table.columns.filter(({ key }) => key).map(({ name }) => name);

const bucketSql = (buckets: number): string =>
  `(pg_catalog.hashtextextended(changeover_k, 0) & ${buckets - 1})::pg_catalog.int4`;

/** `from` is what stands behind FROM, and names the table `t`. */
const textsSql = (table: Table, from: string): string => {
  const all = columnsOf(table, () => true);
  const key = columnsOf(table, ({ key }) => key);
  return `SELECT ROW(${key || all})::pg_catalog.text COLLATE "C" AS changeover_k, ROW(${all})::pg_catalog.text COLLATE "C" AS changeover_r${
    key && `, ${key}`
  } FROM ${from}`;
};

/** Rows of bucket, count, sum, sum. */
export const digestsSql = (table: Table, from: string, buckets: number): string =>
  `SELECT b, pg_catalog.count(*), pg_catalog.sum(x), pg_catalog.sum(y)
     FROM (SELECT ${bucketSql(buckets)} AS b, pg_catalog.hashtextextended(changeover_r, 1) AS x, pg_catalog.hashtextextended(changeover_r, 2) AS y
             FROM (${textsSql(table, from)}) texts) hashes GROUP BY b`;

/** Rows of hash, hash, and the key's columns. `$1`: the buckets. */
export const hashesSql = (table: Table, from: string, buckets: number): string =>
  `SELECT pg_catalog.hashtextextended(changeover_r, 1), pg_catalog.hashtextextended(changeover_r, 2)${keyNames(table)
    .map((name) => `, ${quoteIdentifier(name)}`)
    .join('')}
     FROM (${textsSql(table, from)}) texts WHERE ${bucketSql(buckets)} = ANY ($1::pg_catalog.int4[])`;

/** A row as we hash it ourselves. */
export interface HashedHere {
  readonly bucket: number;
  readonly key: readonly string[];
  readonly x: bigint;
  readonly y: bigint;
}

export function hashedHere(table: Table, row: Row, buckets: number): HashedHere {
  const values = [...cells(row)];
  const key = table.columns.flatMap((column, place) => (column.key ? [String(values[place] ?? '')] : []));
  const whole = createHash('sha256').update(row).digest();
  const dealt = key.length === 0 ? whole : createHash('sha256').update(JSON.stringify(key)).digest();
  return {
    bucket: dealt.readUInt32BE(16) & (buckets - 1),
    key,
    x: whole.readBigInt64BE(0),
    y: whole.readBigInt64BE(8),
  };
}
