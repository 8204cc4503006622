import type { Ask } from '../../change/ask.ts';
import type { Table } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from '../../engine/postgres/identifier.ts';
import { type KeyRange, rangeSql } from '../../engine/postgres/range.ts';

/** A table in parts: the key must be sorted alike on both sides, so it has no collation and no type of a user; and what stands behind the part
 *  must not be in the way of what is in it, so nothing else is unique. Its bytes and rows, near enough. */
const partsSql = (table: Table): string => `
SELECT pg_catalog.pg_table_size(c.oid), c.reltuples
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index p ON p.indrelid = c.oid AND p.indisprimary
 WHERE c.oid = pg_catalog.to_regclass(${quoteLiteral(quoteTable(table))}) AND c.relreplident IN ('d', 'f')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = c.oid AND a.attnum = ANY (p.indkey::int2[]) AND (a.attcollation <> 0 OR a.atttypid >= 16384))
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_index u
     WHERE u.indrelid = c.oid AND (u.indisunique OR u.indisexclusion) AND u.indexrelid <> p.indexrelid)`;

/** So many rows at least are a part, whatever the statistics say. */
const rowsMin = 100;

/** The range of keys that an answer has. All of the table where it cannot be had in parts, or is small. */
export async function rangeOf(
  reading: Connection,
  table: Table,
  { after, bytes }: Pick<Extract<Ask, { ask: 'table' }>, 'after' | 'bytes'>,
): Promise<KeyRange> {
  const whole = { after: undefined, upTo: undefined };
  if (bytes === undefined || !table.columns.some(({ key }) => key)) return whole;
  const [found] = await reading.rows(partsSql(table));
  if (!found) return whole;
  const [size, count] = [Number(found[0]), Number(found[1])];
  if (after === undefined && size <= bytes) return whole;
  // A table that was never analysed has no count; a page of it has some hundred rows at the most.
  const rows = Math.max(rowsMin, Math.floor((bytes * Math.max(count, 1)) / Math.max(size, 1)));
  const keys = table.columns.filter(({ key }) => key).map(({ name }) => quoteIdentifier(name));
  const behind = rangeSql(table, { after, upTo: undefined });
  const [last] = await reading.rows(
    `SELECT ${keys.join(', ')} FROM ONLY ${quoteTable(table)}${behind === undefined ? '' : ` WHERE ${behind}`}
      ORDER BY ${keys.join(', ')} OFFSET ${rows - 1} LIMIT 1`,
  );
  return { after, upTo: last?.map(String) };
}
