import { cells, type Row, rowOf } from './row.ts';
import type { Table } from './table.ts';

/** What a row is recognised by: the text of each key column, in the order of the table's columns. */
export type Key = readonly string[];

/** Empty where the table has no key. */
export const keyOf = (table: Table, row: Row): Key =>
  [...cells(row)].flatMap((cell, place) => (table.columns[place]?.key ? [String(cell)] : []));

/** A row of which only the key is known. */
export function keyRow(table: Table, key: Key): Row {
  const left = key.values();
  return rowOf(table.columns.map((column) => (column.key ? Buffer.from(left.next().value ?? '') : null)));
}
