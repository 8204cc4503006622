import type { Change, RowChange, Rows, Schema, Snapshot, Truncate } from '../../change/change.ts';
import { cells, fillUnchanged, type Row } from '../../change/row.ts';
import { stillSealed } from '../../change/sealed.ts';
import { type Table, tableName } from '../../change/table.ts';
import { assert, ChangeoverError, unreachable } from '../../error.ts';
import type { Checkpoint } from '../target.ts';
import { parseCopyText } from './copy-text.ts';

/** `net`: no order among them, and what goes is gone before what comes. */
export type Order = 'kept' | 'net';

/** A table of the memory target. A schema statement for it is this as JSON. */
export interface MemoryTable {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly string[];
  /** Names of the columns that no two rows share, constraint by constraint. */
  readonly unique: readonly (readonly string[])[];
}

/** The value of each column, in the order of the table. */
export type Values = readonly (Buffer | null)[];

interface Held {
  readonly shape: MemoryTable;
  readonly rows: readonly Values[];
}

/** All that a memory target holds. What a transaction writes goes to a copy, which is nobody else's. Rows are never written to. */
export class State {
  readonly #tables: Map<string, Held>;
  /** Tables that the lane copied into: a snapshot may empty them. */
  readonly #ours: Set<string>;
  checkpoint: Checkpoint | undefined;
  drifted = 0;

  constructor(from?: State) {
    this.#tables = new Map(from ? from.#tables : []);
    this.#ours = new Set(from ? from.#ours : []);
    this.checkpoint = from?.checkpoint;
    this.drifted = from?.drifted ?? 0;
  }

  rowsOf(table: { readonly schema: string; readonly name: string }): readonly Values[] {
    return this.#held(table).rows;
  }

  /** Throws TARGET_CONFLICT when a constraint is in the way, TARGET_DRIFT, TARGET_TABLE_DIFFERS, TARGET_NOT_EMPTY. What was written
   *  before it threw stays written: the caller throws the copy away. */
  write(changes: readonly Change[], order: Order): void {
    for (const change of order === 'net' ? changes.toSorted((a, b) => rank(a) - rank(b)) : changes)
      this.#writeOne(change, order);
  }

  create(shape: MemoryTable): void {
    const name = tableName(shape);
    if (!this.#tables.has(name)) this.#tables.set(name, { shape, rows: [] });
  }

  #writeOne(change: Change, order: Order): void {
    switch (change.kind) {
      case 'insert':
      case 'update':
      case 'delete':
        this.#writeRow(change, order);
        return;
      case 'truncate':
        this.#empty(change);
        return;
      case 'clear':
        // What sorts keys, it does not know.
        assert(!change.after && !change.upTo, 'The memory target clears whole tables');
        this.#set(change.table, []);
        return;
      case 'rows':
        this.#copy(change);
        return;
      case 'schema':
        this.#createAll(change);
        return;
      case 'ddl':
        throw new ChangeoverError('TARGET_SCHEMA_FAILED', `The memory target reads no SQL: ${change.statement}`);
      case 'snapshot':
        this.#makeRoom(change);
        return;
      case 'message':
      case 'commit':
      case 'control':
      // It has none.
      case 'sequences':
        return;
      case 'sealed':
        throw stillSealed();
      default:
        unreachable(change);
    }
  }

  #writeRow(change: RowChange, order: Order): void {
    const { table } = change;
    const { rows } = this.#held(table);
    if (change.kind === 'insert') return this.#put(table, rows, this.#placed(change.after, table));
    const at = this.#find(change);
    const earlier = rows[at];
    if (!earlier && order === 'net')
      throw new ChangeoverError('TARGET_CONFLICT', `A row of ${tableName(table)} was not found`);
    if (!earlier) this.drifted += 1;
    const others = earlier ? rows.toSpliced(at, 1) : rows;
    if (change.kind === 'delete') return this.#set(table, others);
    const isWhole = change.before && table.identity === 'full';
    const after = isWhole ? fillUnchanged(change.after, change.before) : change.after;
    this.#put(table, others, this.#placed(after, table, earlier));
  }

  /** Where the row is that a change is of: the one with its key; without a key, one of those that are equal. */
  #find(change: Exclude<RowChange, { kind: 'insert' }>): number {
    const { table } = change;
    const hasKey = table.columns.some((column) => column.key);
    const sent = [...cells(change.kind === 'update' ? (change.before ?? change.after) : change.before)];
    const wanted = table.columns.flatMap((column, index) =>
      column.key || !hasKey ? [{ place: this.#placeOf(table, column.name), cell: sent[index] ?? null }] : [],
    );
    return this.#held(table).rows.findIndex((row) =>
      wanted.every(({ place, cell }) => cell !== 'unchanged' && isEqual(row[place] ?? null, cell)),
    );
  }

  /** The row as the table here has it: columns that the source does not know stay null. */
  #placed(row: Row, table: Table, earlier?: Values): Values {
    const values: (Buffer | null)[] = earlier ? [...earlier] : this.#held(table).shape.columns.map(() => null);
    for (const [index, cell] of [...cells(row)].entries()) {
      const name = table.columns[index]?.name ?? '';
      if (cell !== 'unchanged') values[this.#placeOf(table, name)] = cell && Buffer.from(cell);
      else if (!earlier) throw new ChangeoverError('TARGET_DRIFT', `A row of ${tableName(table)} is missing`);
    }
    return values;
  }

  #put(table: Table, others: readonly Values[], row: Values): void {
    const { shape } = this.#held(table);
    for (const columns of shape.unique) {
      const places = columns.map((column) => this.#placeOf(table, column));
      const isSame = (other: Values): boolean =>
        // As in SQL, a null is never equal to another.
        places.every((place) => row[place] && isEqual(row[place], other[place] ?? null));
      if (others.some(isSame))
        throw new ChangeoverError('TARGET_CONFLICT', `A row of ${tableName(table)} is in the way`);
    }
    this.#set(table, [...others, row]);
  }

  #empty({ tables }: Truncate): void {
    for (const table of tables) this.#set(table, []);
  }

  #copy({ table, block }: Rows): void {
    for (const values of parseCopyText(block)) {
      const places = table.columns.map((column) => this.#placeOf(table, column.name));
      const row = this.#held(table).shape.columns.map((_, place) => values[places.indexOf(place)] ?? null);
      this.#put(table, this.#othersThan(row, table), row);
    }
  }

  /** Where a copy went on after an interruption, a row may be there already, and makes room for itself. */
  #othersThan(row: Values, table: Table): readonly Values[] {
    const { rows } = this.#held(table);
    const key = table.columns.filter((column) => column.key).map((column) => this.#placeOf(table, column.name));
    if (key.length === 0) return rows;
    return rows.filter((other) => !key.every((place) => isEqual(row[place] ?? null, other[place] ?? null)));
  }

  #createAll({ statements }: Schema): void {
    for (const { object, sql } of statements) {
      try {
        this.create(JSON.parse(sql) as MemoryTable);
      } catch (cause) {
        throw new ChangeoverError('TARGET_SCHEMA_FAILED', `${object} cannot be created from its statement`, { cause });
      }
    }
  }

  #makeRoom({ tables }: Snapshot): void {
    for (const table of tables) {
      const name = tableName(table);
      const present = this.#tables.get(name);
      if (present && present.rows.length > 0 && !this.#ours.has(name))
        throw new ChangeoverError('TARGET_NOT_EMPTY', `The table ${name} holds rows already`);
      if (present) this.#set(table, []);
      this.#ours.add(name);
    }
  }

  #held(table: { readonly schema: string; readonly name: string }): Held {
    const held = this.#tables.get(tableName(table));
    if (!held) throw new ChangeoverError('TARGET_TABLE_DIFFERS', `The table ${tableName(table)} is missing`);
    return held;
  }

  #placeOf(table: Table, column: string): number {
    const place = this.#held(table).shape.columns.indexOf(column);
    if (place < 0)
      throw new ChangeoverError('TARGET_TABLE_DIFFERS', `The table ${tableName(table)} has no column ${column}`);
    return place;
  }

  #set(table: { readonly schema: string; readonly name: string }, rows: readonly Values[]): void {
    this.#tables.set(tableName(table), { shape: this.#held(table).shape, rows });
  }
}

/** Rows that go, before rows that change, before rows that come: a unique value is free before it is taken. */
const rank = ({ kind }: Change): number => ['delete', 'update', 'insert'].indexOf(kind);

const isEqual = (a: Buffer | null, b: Buffer | null): boolean => (a === null || b === null ? a === b : a.equals(b));
