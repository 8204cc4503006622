import type { Batch, Change, RowChange } from '../change/change.ts';
import { type Net, type NetOfTable, RowList } from '../change/net.ts';
import { PackedCursor } from '../change/packed.ts';
import { fillUnchanged, hasUnchangedAt } from '../change/row.ts';
import { stillSealed } from '../change/sealed.ts';
import type { Table } from '../change/table.ts';
import { unreachable } from '../error.ts';
import { Fates } from './fates.ts';

/** Changes that may be written together, and how. Steps follow one another. */
export type Step =
  /** In their order. */
  | { readonly order: 'kept'; readonly changes: readonly Change[] }
  /** All at once. `originals` gives what it is the net effect of, in the original order: for writing `kept` where `net` trips over a
   *  constraint. */
  | { readonly order: 'net'; readonly net: Net; readonly originals: () => readonly RowChange[] };

/** What is folded: a batch, as far as it matters here. */
export type Run = Pick<Batch, 'changes' | 'packed'>;

/** A row change, wherever it comes from: its row from `at` to `end` of `bytes`, that of an update as it was in `beforeBytes`. */
interface RowAt {
  readonly kind: 'insert' | 'update' | 'delete';
  readonly bytes: Buffer;
  readonly at: number;
  readonly end: number;
  /** -1 where there is none. */
  readonly beforeAt: number;
  readonly beforeEnd: number;
  readonly beforeBytes: Buffer;
}

/** Folds the changes of many transactions into their net effect: at most one change per table and key. Whoever writes a step's
 *  changes in any order, and the steps one after the other, ends with the same rows as whoever wrote the original changes in
 *  theirs; only constraints that hold at every moment in between can tell (hence TARGET_CONFLICT and the way back). Pure. */
export function coalesce(runs: readonly Run[]): readonly Step[] {
  const coalescing = new Coalescing(runs);
  for (const [run, { packed }] of runs.entries()) {
    if (packed) coalescing.addPacked(run, new PackedCursor(packed));
    else for (const [index, change] of runs[run]?.changes.entries() ?? []) coalescing.add({ run, index }, change);
  }
  return coalescing.end();
}

/** Of a change: its run, and its place there. */
interface Place {
  readonly run: number;
  readonly index: number;
}

class Coalescing {
  readonly #runs: readonly Run[];
  readonly #steps: Step[] = [];
  #foldings = new Map<Table, Folding>();
  /** Where the changes begin that are folded together now. */
  #from: Place = { run: 0, index: 0 };

  constructor(runs: readonly Run[]) {
    this.#runs = runs;
  }

  addPacked(run: number, cursor: PackedCursor): void {
    const at = {
      bytes: cursor.bytes,
      beforeBytes: cursor.bytes,
      kind: cursor.kind,
      at: 0,
      end: 0,
      beforeAt: 0,
      beforeEnd: 0,
    };
    while (cursor.next()) {
      if (!cursor.table) continue;
      at.kind = cursor.kind;
      at.at = cursor.at;
      at.end = cursor.end;
      at.beforeAt = cursor.beforeAt;
      at.beforeEnd = cursor.beforeEnd;
      if (this.#folding(cursor.table, { run, index: cursor.index }).fold(at)) continue;
      const change = this.#runs[run]?.changes[cursor.index];
      if (change) this.#alone({ run, index: cursor.index }, change);
    }
  }

  add(place: Place, change: Change): void {
    switch (change.kind) {
      case 'insert':
      case 'update':
      case 'delete':
        if (!this.#folding(change.table, place).fold(rowAt(change))) this.#alone(place, change);
        return;
      case 'message':
      case 'commit':
      case 'control':
        return;
      case 'truncate':
      case 'snapshot':
      case 'schema':
      case 'ddl':
      case 'rows':
      case 'clear':
      case 'sequences':
        this.#alone(place, change);
        return;
      case 'sealed':
        throw stillSealed();
      default:
        unreachable(change);
    }
  }

  end(): readonly Step[] {
    this.#close({ run: this.#runs.length, index: 0 });
    return this.#steps;
  }

  #folding(table: Table, place: Place): Folding {
    const known = this.#foldings.get(table);
    if (known) return known;
    // The same table in another shape: its earlier rows must be written first.
    const hasOtherShape = this.#foldings
      .keys()
      .some(({ name, schema }) => name === table.name && schema === table.schema);
    if (hasOtherShape) this.#close(place);
    const folding = new Folding(table);
    this.#foldings.set(table, folding);
    return folding;
  }

  #alone(place: Place, change: Change): void {
    this.#close(place);
    this.#steps.push({ order: 'kept', changes: [change] });
    this.#from = { run: place.run, index: place.index + 1 };
  }

  #close(to: Place): void {
    const foldings = this.#foldings;
    const from = this.#from;
    this.#from = to;
    if (foldings.size === 0) return;
    this.#foldings = new Map();
    const isFolded = ({ table }: RowChange): boolean => foldings.get(table)?.isFolded ?? false;
    const net = Array.from(
      foldings.values().filter((folding) => folding.isFolded),
      (folding) => folding.net(),
    );
    const originals = (): readonly RowChange[] => this.#between(from, to).filter(isFolded);
    if (net.some(isSome)) this.#steps.push({ order: 'net', net: net.filter(isSome), originals });
    if (foldings.values().every((folding) => folding.isFolded)) return;
    const kept = this.#between(from, to).filter((change) => !isFolded(change));
    this.#steps.push({ order: 'kept', changes: kept });
  }

  #between(from: Place, to: Place): readonly RowChange[] {
    return this.#runs.slice(from.run, to.run + 1).flatMap(({ changes }, index) => {
      const start = index === 0 ? from.index : 0;
      const end = from.run + index === to.run ? to.index : changes.length;
      return changes.slice(start, end).filter(isRowChange);
    });
  }
}

const isRowChange = (change: Change): change is RowChange =>
  change.kind === 'insert' || change.kind === 'update' || change.kind === 'delete';

const isSome = ({ deletes, updates, inserts }: NetOfTable): boolean =>
  deletes.length + updates.length + inserts.length > 0;

function rowAt(change: RowChange): RowAt {
  const { kind } = change;
  const row = kind === 'delete' ? change.before : change.after;
  const before = kind === 'update' ? change.before : undefined;
  return {
    kind,
    bytes: row,
    at: 0,
    end: row.length,
    beforeAt: before ? 0 : -1,
    beforeEnd: before?.length ?? -1,
    beforeBytes: before ?? row,
  };
}

/** What becomes of one table's rows. */
class Folding {
  readonly #table: Table;
  /** Undefined: its rows have no key, and only added ones may be written as a set. */
  readonly #fates: Fates | undefined;
  readonly #unkeyed = new RowList();
  #onlyInserts = true;

  constructor(table: Table) {
    this.#table = table;
    const keyColumns = table.columns.flatMap((column, index) => (column.key ? [index] : []));
    this.#fates = keyColumns.length > 0 ? new Fates(keyColumns) : undefined;
  }

  /** False: its changes are written in their order. */
  get isFolded(): boolean {
    return this.#fates !== undefined || this.#onlyInserts;
  }

  net(): NetOfTable {
    const net = { table: this.#table, deletes: new RowList(), updates: new RowList(), inserts: this.#unkeyed };
    const fates = this.#fates;
    if (!fates) return net;
    const lists = { delete: net.deletes, update: net.updates, insert: net.inserts };
    for (const [index, fate] of fates.kinds.entries()) {
      const bytes = fates.bytes[index];
      if (fate !== 'gone' && bytes) lists[fate].push(bytes, fates.starts[index] ?? 0, fates.ends[index] ?? 0);
    }
    return net;
  }

  /** False: the change cannot be folded into what came before it, and must be written by itself, behind it. */
  fold(change: RowAt): boolean {
    const fates = this.#fates;
    if (!fates) {
      if (change.kind === 'insert') this.#unkeyed.push(change.bytes, change.at, change.end);
      else this.#onlyInserts = false;
      return true;
    }
    const place = fates.place(change.bytes, change.at, change.end);
    switch (change.kind) {
      case 'insert':
        return insert(fates, place, change);
      case 'delete':
        return remove(fates, place, change);
      case 'update': {
        if (change.beforeAt >= 0) {
          const from = fates.place(change.beforeBytes, change.beforeAt, change.beforeEnd);
          if (from !== place) return move(fates, { from, to: place }, change);
        }
        const earlier = fates.kinds[place];
        if (earlier === 'delete') return false;
        update(fates, place, change);
        return true;
      }
      default:
        return unreachable(change.kind);
    }
  }
}

function insert(fates: Fates, place: number, { bytes, at, end }: RowAt): boolean {
  const earlier = fates.kinds[place];
  if (earlier === 'insert' || earlier === 'update') return false;
  fates.set(place, earlier === 'delete' ? 'update' : 'insert', bytes, at, end);
  return true;
}

function remove(fates: Fates, place: number, { bytes, at, end }: Pick<RowAt, 'bytes' | 'at' | 'end'>): boolean {
  const earlier = fates.kinds[place];
  if (earlier === 'delete') return false;
  fates.set(place, earlier === 'insert' ? 'gone' : 'delete', bytes, at, end);
  return true;
}

function update(fates: Fates, place: number, change: RowAt): void {
  const { bytes, at, end } = filled(fates, place, change);
  fates.set(place, fates.kinds[place] === 'insert' ? 'insert' : 'update', bytes, at, end);
}

/** The row of an update, with what it leaves out as it was since the first of its fates. */
function filled(fates: Fates, place: number, change: RowAt): Pick<RowAt, 'bytes' | 'at' | 'end'> {
  const { bytes, at, end } = change;
  const earlier = fates.kinds[place];
  if ((earlier !== 'insert' && earlier !== 'update') || !hasUnchangedAt(bytes, at)) return change;
  const before = fates.bytes[place]?.subarray(fates.starts[place], fates.ends[place]);
  const row = before ? fillUnchanged(bytes.subarray(at, end), before) : bytes.subarray(at, end);
  return { bytes: row, at: 0, end: row.length };
}

/** A row that moves to another key is one row gone and one come, if all of it is known. */
function move(fates: Fates, { from, to }: { readonly from: number; readonly to: number }, change: RowAt): boolean {
  const row = filled(fates, from, change);
  if (hasUnchangedAt(row.bytes, row.at)) return false;
  const inWay = fates.kinds[to];
  if (fates.kinds[from] === 'delete' || inWay === 'insert' || inWay === 'update') return false;
  const before = { bytes: change.beforeBytes, at: change.beforeAt, end: change.beforeEnd };
  return remove(fates, from, before) && insert(fates, to, { ...change, ...row });
}
