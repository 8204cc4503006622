import type { Change, Delete, Insert, RowChange, Rows, Snapshot, Truncate, Update } from '../../src/change/change.ts';
import { netOf, RowList } from '../../src/change/net.ts';
import { type Cell, type Row, rowOf } from '../../src/change/row.ts';
import type { Table } from '../../src/change/table.ts';
import { copyText } from '../../src/target/postgres/copy-text.ts';
import type { TargetTransaction } from '../../src/target/target.ts';

/* Tables and changes for tests: every column is a text, values are written as texts. */

/** The values of each row, sorted: rows have no order. */
export type Content = readonly (readonly (string | null)[])[];

/** A text is a value, unless it is the word for an unchanged one. */
type Value = string | Buffer | null;

const table = (name: string, ...columns: string[]): Table => ({
  schema: 'public',
  name,
  identity: 'key',
  columns: columns.map((column, index) => ({ name: column, type: 'text', key: index === 0 })),
});

export const items = table('items', 'id', 'value');
export const pairs = table('pairs', 'id', 'left', 'right');
/** Meant to be made with a unique `code`. */
export const unique = table('unique codes', 'id', 'code');
export const keyless: Table = {
  ...table('keyless', 'a', 'b'),
  identity: 'full',
  columns: ['a', 'b'].map((name) => ({ name, type: 'text', key: false })),
};

const cell = (value: Value): Cell =>
  value === 'unchanged' || value === null || Buffer.isBuffer(value) ? value : Buffer.from(value);
export const row = (...values: Value[]): Row => rowOf(values.map((value) => cell(value)));
const keyOf = (table: Table, key: string): Row =>
  row(...table.columns.map((column, index) => (index === 0 && column.key ? key : null)));

export const insert = (table: Table, ...values: Value[]): Insert => ({ kind: 'insert', table, after: row(...values) });

export const update = (table: Table, ...values: Value[]): Update => ({
  kind: 'update',
  table,
  before: undefined,
  after: row(...values),
});

export const move = (table: Table, from: string, ...values: Value[]): Update => ({
  kind: 'update',
  table,
  before: keyOf(table, from),
  after: row(...values),
});

export const remove = (table: Table, key: string): Delete => ({ kind: 'delete', table, before: keyOf(table, key) });

export const truncate = (...tables: Table[]): Truncate => ({
  kind: 'truncate',
  tables,
  cascade: false,
  restartIdentity: false,
});

export const snapshotOf = (...tables: Table[]): Snapshot => ({ kind: 'snapshot', tables });

export function block(table: Table, ...rows: (string | null)[][]): Rows {
  const list = new RowList();
  for (const values of rows) {
    const bytes = row(...values);
    list.push(bytes, 0, bytes.length);
  }
  return {
    kind: 'rows',
    table,
    count: rows.length,
    block: Buffer.concat([...copyText(list, '', [...table.columns.keys()])]),
  };
}

export const content = (...rows: readonly (readonly Value[])[]): Content =>
  rows
    .map((values) => values.map((value) => (Buffer.isBuffer(value) ? value.toString() : value)))
    .map((values) => ({ values, order: JSON.stringify(values) }))
    .toSorted((a, b) => (a.order < b.order ? -1 : 1))
    .map(({ values }) => values);

export type Order = 'kept' | 'net';

/** Writes changes in their order, or as the net effect that they are. */
export const write = (transaction: TargetTransaction, changes: readonly Change[], order: Order): Promise<void> =>
  order === 'net' ? transaction.writeNet(netOf(changes as readonly RowChange[])) : transaction.write(changes);
