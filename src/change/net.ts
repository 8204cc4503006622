import type { RowChange } from './change.ts';
import type { Table } from './table.ts';

/** Rows where they lie, in a buffer each: no object per row. */
export class RowList {
  readonly bytes: Buffer[] = [];
  readonly starts: number[] = [];
  readonly ends: number[] = [];

  get length(): number {
    return this.starts.length;
  }

  push(bytes: Buffer, start: number, end: number): void {
    this.bytes.push(bytes);
    this.starts.push(start);
    this.ends.push(end);
  }

  /** The rows as buffers of their own. */
  *rows(): Generator<Buffer> {
    for (const [index, bytes] of this.bytes.entries()) yield bytes.subarray(this.starts[index], this.ends[index]);
  }
}

/** What became of a table's rows: at most one change per key, and no order among them. */
export interface NetOfTable {
  readonly table: Table;
  /** As they were, or just their keys. */
  readonly deletes: RowList;
  readonly updates: RowList;
  readonly inserts: RowList;
}

/** The net effect of many changes, table by table; none comes twice. */
export type Net = readonly NetOfTable[];

/** The same as changes. */
export function* changesOf(net: Net): Generator<RowChange> {
  for (const { table, deletes, updates, inserts } of net) {
    for (const before of deletes.rows()) yield { kind: 'delete', table, before };
    for (const after of updates.rows()) yield { kind: 'update', table, before: undefined, after };
    for (const after of inserts.rows()) yield { kind: 'insert', table, after };
  }
}

/** Of changes that are net already: at most one per key. */
export function netOf(changes: Iterable<RowChange>): Net {
  const tables = new Map<Table, NetOfTable>();
  for (const change of changes) {
    const { table } = change;
    const net = tables.get(table) ?? { table, deletes: new RowList(), updates: new RowList(), inserts: new RowList() };
    tables.set(table, net);
    const row = change.kind === 'delete' ? change.before : change.after;
    net[`${change.kind}s`].push(row, 0, row.length);
  }
  return [...tables.values()];
}
