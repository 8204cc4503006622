import * as fc from 'fast-check';
import type { Change, RowChange } from '../../src/change/change.ts';
import { type Cell, cells, type Row, rowOf } from '../../src/change/row.ts';
import { type Table, tableName } from '../../src/change/table.ts';

/* A tiny database in memory, and random histories that one could have sent: every change is possible where it stands. */

type Values = readonly Cell[];

/** Rows by table, then by key; a table without a key counts places instead. */
export class Rows {
  readonly #tables = new Map<string, Values[]>();

  of(table: Table): Values[] {
    const name = tableName(table);
    const rows = this.#tables.get(name) ?? [];
    this.#tables.set(name, rows);
    return rows;
  }

  copy(): Rows {
    const copy = new Rows();
    for (const [name, rows] of this.#tables) copy.#tables.set(name, [...rows]);
    return copy;
  }

  /** Everything, comparable: order of rows means nothing. */
  content(): Record<string, string[]> {
    const sorted = this.#tables
      .entries()
      .map(([name, rows]): [string, string[]] => [name, rows.map((row) => text(row)).toSorted()]);
    return Object.fromEntries([...sorted].filter(([, rows]) => rows.length > 0));
  }

  /** Writes one change as a database does: throws when the row is missing, or in the way. */
  write(change: Change): void {
    if (change.kind === 'truncate') for (const table of change.tables) this.of(table).length = 0;
    if (change.kind !== 'insert' && change.kind !== 'update' && change.kind !== 'delete') return;
    const rows = this.of(change.table);
    if (change.kind === 'insert') {
      this.#mustBeFree(change.table, [...cells(change.after)]);
      rows.push([...cells(change.after)]);
      return;
    }
    const at = this.#find(change);
    const earlier = rows[at];
    if (!earlier) throw new RangeError(`${change.kind} of a row that is not there`);
    rows.splice(at, 1);
    if (change.kind === 'delete') return;
    const now = [...cells(change.after)].map((cell, index) => (cell === 'unchanged' ? (earlier[index] ?? null) : cell));
    try {
      this.#mustBeFree(change.table, now);
      rows.push(now);
    } catch (error) {
      rows.push(earlier);
      throw error;
    }
  }

  #find(change: Exclude<RowChange, { kind: 'insert' }>): number {
    const identity = change.kind === 'update' ? (change.before ?? change.after) : change.before;
    const wanted = keyText(change.table, [...cells(identity)]);
    return this.of(change.table).findIndex((row) => keyText(change.table, row) === wanted);
  }

  #mustBeFree(table: Table, row: Values): void {
    if (!isKeyed(table)) return;
    const key = keyText(table, row);
    if (this.of(table).some((other) => keyText(table, other) === key)) throw new RangeError('a row is in the way');
  }
}

const text = (row: Values): string =>
  JSON.stringify(row.map((cell) => (Buffer.isBuffer(cell) ? [cell.toString()] : cell)));
export const isKeyed = (table: Table): boolean => table.columns.some((column) => column.key);
/** The key's cells, or the whole row where there is no key. */
export const keyText = (table: Table, row: Values): string =>
  text(isKeyed(table) ? row.filter((_, index) => table.columns[index]?.key) : row);

const column = (name: string, key: boolean, type = 'text') => ({ name, type, key });
const keyed: Table = {
  schema: 'public',
  name: 'keyed',
  identity: 'key',
  columns: [column('a', true), column('v', false), column('b', true), column('w', false)],
};
export const tables: readonly Table[] = [
  keyed,
  // The same table after a change of its shape.
  { ...keyed, columns: keyed.columns.with(1, column('v', false, '')) },
  { ...keyed, name: 'keyed whole', identity: 'full' },
  { schema: 'public', name: 'keyless', identity: 'full', columns: [column('a', false), column('v', false)] },
  { schema: 'public', name: 'only added to', identity: 'none', columns: [column('a', false)] },
];

/** What a client might do, before it is known what is there: `key` names a row to be or picks one that is. */
interface Deed {
  readonly table: number;
  readonly kind: 'insert' | 'update' | 'move' | 'delete' | 'truncate';
  readonly key: number;
  readonly value: number;
  readonly unchanged: boolean;
}

const deeds = (most: number): fc.Arbitrary<Deed[]> =>
  fc.array(
    fc.record({
      table: fc.nat(tables.length - 1),
      // Truncates are rare: little survives them.
      kind: fc.constantFrom('insert', 'insert', 'insert', 'update', 'update', 'update', 'move', 'delete', 'truncate'),
      key: fc.nat(5),
      value: fc.nat(9),
      unchanged: fc.boolean(),
    }),
    { minLength: 1, maxLength: most },
  );

const kindOf = (deed: Deed): Deed['kind'] => (deed.kind === 'truncate' && deed.value > 1 ? 'update' : deed.kind);

/** Rows that were there before, and changes that follow one another from them. */
export const histories: fc.Arbitrary<{ readonly before: Rows; readonly changes: readonly Change[] }> = fc
  .tuple(deeds(20), deeds(60))
  .map(([earlier, later]) => {
    const rows = new Rows();
    for (const deed of earlier) changeOf(rows, { ...deed, kind: 'insert' });
    const before = rows.copy();
    return { before, changes: later.flatMap((deed) => changeOf(rows, deed)) };
  });

/** The change that a deed makes where `rows` stand, written to them; none where it would not be possible. */
function changeOf(rows: Rows, deed: Deed): Change[] {
  const table = tables[deed.table] ?? keyed;
  const present = rows.of(table);
  const kind = kindOf(deed);
  const chosen = present[deed.key % Math.max(1, present.length)];
  const change = ((): Change | undefined => {
    if (kind === 'truncate') return { kind, tables: [table], cascade: false, restartIdentity: false };
    if (kind === 'insert') return { kind, table, after: rowOf(valuesOf(table, deed)) };
    if (!chosen || table.identity === 'none') return undefined;
    if (kind === 'delete') return { kind, table, before: identityOf(table, chosen) };
    return updateOf(table, chosen, { ...deed, kind });
  })();
  if (!change) return [];
  try {
    rows.write(change);
  } catch {
    return [];
  }
  return [change];
}

function valuesOf(table: Table, { key, value }: Deed): Values {
  const data = value === 0 ? null : Buffer.from(`value ${value}`);
  return table.columns.map(({ key: isKey }) => (isKey || !isKeyed(table) ? Buffer.from(`key ${key % 4}`) : data));
}

/** As the source sends it: the whole row, or only its key. */
const identityOf = (table: Table, row: Values): Row =>
  rowOf(table.identity === 'full' ? row : row.map((cell, index) => (table.columns[index]?.key ? cell : null)));

function updateOf(table: Table, row: Values, deed: Deed): Change {
  const fresh = valuesOf(table, deed);
  const moves = deed.kind === 'move' || !isKeyed(table);
  const after = row.map((cell, index): Cell => {
    if (table.columns[index]?.key) return moves ? (fresh[index] ?? null) : cell;
    // Of two values that are no key, the last stays as it was when the deed says so.
    return deed.unchanged && index === row.length - 1 ? 'unchanged' : (fresh[index] ?? null);
  });
  const sendsBefore = table.identity === 'full' || keyText(table, row) !== keyText(table, after);
  return { kind: 'update', table, before: sendsBefore ? identityOf(table, row) : undefined, after: rowOf(after) };
}
