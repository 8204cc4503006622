import type { RowChange, Truncate } from '../../change/change.ts';
import { type Cell, cells, fillUnchanged, type Row, rowOf } from '../../change/row.ts';
import { type Table, tableName } from '../../change/table.ts';
import { assert } from '../../error.ts';

/** The rows of a memory source, table by table. */
export class MemoryRows {
  readonly #tables = new Map<string, { readonly table: Table; rows: readonly Row[] }>();

  create(table: Table): void {
    assert(!this.#tables.has(tableName(table)), 'A table is created once');
    this.#tables.set(tableName(table), { table, rows: [] });
  }

  /** What is there now; later changes do not reach it. */
  all(): readonly { readonly table: Table; readonly rows: readonly Row[] }[] {
    return [...this.#tables.values()].map(({ table, rows }) => ({ table, rows }));
  }

  write(change: RowChange | Truncate): void {
    if (change.kind === 'truncate') {
      for (const table of change.tables) this.#held(table).rows = [];
      return;
    }
    const held = this.#held(change.table);
    if (change.kind === 'insert') {
      held.rows = [...held.rows, change.after];
      return;
    }
    const wanted = identityOf(change.table, change.kind === 'update' ? (change.before ?? change.after) : change.before);
    const at = held.rows.findIndex((row) => identityOf(change.table, row) === wanted);
    const earlier = held.rows[at];
    assert(earlier !== undefined, 'A client changes only rows that are there');
    held.rows =
      change.kind === 'delete'
        ? held.rows.toSpliced(at, 1)
        : held.rows.toSpliced(at, 1, fillUnchanged(change.after, earlier));
  }

  #held(table: Table): { rows: readonly Row[] } {
    const held = this.#tables.get(tableName(table));
    assert(held !== undefined, 'A client writes only to tables that are there');
    return held;
  }
}

/** The key's cells, or all of them where there is no key, as a text that is equal for equal ones only. */
function identityOf(table: Table, row: Row): string {
  const isKeyed = table.columns.some((column) => column.key);
  const identity = [...cells(row)].filter((_: Cell, index) => !isKeyed || table.columns[index]?.key);
  return rowOf(identity).toString('latin1');
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

/** The rows in the text format of COPY. https://www.postgresql.org/docs/current/sql-copy.html (Text Format) */
export function copyTextOf(rows: readonly Row[]): Buffer {
  const lines = rows.map((row) => `${[...cells(row)].map((cell) => field(cell)).join('\t')}\n`);
  return Buffer.from(lines.join(''), 'latin1');
}

const field = (cell: Cell): string =>
  Buffer.isBuffer(cell)
    ? cell.toString('latin1').replaceAll(/[\\\t\n\r]/g, (letter) => escapes[letter] ?? letter)
    : '\\N';
