import type { Change, RowChange } from '../change/change.ts';
import { cellEnd, fillUnchanged, hasUnchanged, type Row } from '../change/row.ts';
import { stillSealed } from '../change/sealed.ts';
import type { Table } from '../change/table.ts';
import { unreachable } from '../error.ts';
import type { Order } from '../target/target.ts';

/** Changes that may be written together, and how. Steps follow one another. */
export interface Step {
  readonly order: Order;
  readonly changes: readonly Change[];
  /** What `changes` is the net effect of, in the original order: for writing `kept` where `net` trips over a constraint. */
  readonly originals: readonly Change[];
}

/** What became of a row within a step. An update holds whatever cells are known; a deleted row that came back is an update. */
type Fate = { readonly kind: 'insert' | 'update' | 'delete'; readonly row: Row };

interface Folding {
  readonly table: Table;
  readonly keyColumns: readonly number[];
  readonly fates: Map<string, Fate>;
  /** Changes of a table whose rows have no key: only added rows may be written as a set. */
  readonly unkeyed: RowChange[];
  onlyInserts: boolean;
}

/** Folds the changes of many transactions into their net effect: at most one change per table and key. Whoever writes a step's
 *  changes in any order, and the steps one after the other, ends with the same rows as whoever wrote the original changes in
 *  theirs; only constraints that hold at every moment in between can tell (hence TARGET_CONFLICT and the way back). Pure. */
export function coalesce(changes: readonly Change[]): readonly Step[] {
  const steps: Step[] = [];
  let foldings = new Map<Table, Folding>();
  let originals: RowChange[] = [];
  const close = (): void => {
    steps.push(...stepsOf(foldings, originals));
    foldings = new Map();
    originals = [];
  };
  const alone = (change: Change): void => {
    close();
    steps.push({ order: 'kept', changes: [change], originals: [change] });
  };
  for (const change of changes) {
    switch (change.kind) {
      case 'insert':
      case 'update':
      case 'delete': {
        let folding = foldings.get(change.table);
        if (!folding) {
          // The same table in another shape: its earlier rows must be written first.
          if (hasOtherShape(foldings, change.table)) close();
          folding = newFolding(change.table);
          foldings.set(change.table, folding);
        }
        if (fold(folding, change)) originals.push(change);
        else alone(change);
        break;
      }
      case 'message':
      case 'commit':
      case 'control':
        break;
      case 'truncate':
      case 'snapshot':
      case 'schema':
      case 'ddl':
      case 'rows':
      case 'clear':
      case 'sequences':
        alone(change);
        break;
      case 'sealed':
        throw stillSealed();
      default:
        unreachable(change);
    }
  }
  close();
  return steps;
}

const hasOtherShape = (foldings: ReadonlyMap<Table, Folding>, { schema, name }: Table): boolean =>
  foldings.keys().some((table) => table.name === name && table.schema === schema);

function stepsOf(foldings: ReadonlyMap<Table, Folding>, originals: readonly RowChange[]): readonly Step[] {
  const net: Change[] = [];
  const kept: Change[] = [];
  for (const { table, fates, unkeyed, onlyInserts } of foldings.values()) {
    for (const change of unkeyed) (onlyInserts ? net : kept).push(change);
    for (const { kind, row } of fates.values()) {
      if (kind === 'delete') net.push({ kind, table, before: row });
      else if (kind === 'insert') net.push({ kind, table, after: row });
      else net.push({ kind, table, before: undefined, after: row });
    }
  }
  const steps: Step[] = [];
  if (net.length > 0) {
    const inNet = originals.filter(({ table }) => isFolded(foldings.get(table)));
    steps.push({ order: 'net', changes: net, originals: inNet });
  }
  if (kept.length > 0) steps.push({ order: 'kept', changes: kept, originals: kept });
  return steps;
}

const isFolded = (folding: Folding | undefined): boolean =>
  folding !== undefined && (folding.keyColumns.length > 0 || folding.onlyInserts);

function newFolding(table: Table): Folding {
  const keyColumns = table.columns.flatMap((column, index) => (column.key ? [index] : []));
  return { table, keyColumns, fates: new Map(), unkeyed: [], onlyInserts: true };
}

/** False: the change cannot be folded into what came before it, and must be written by itself, behind it. */
function fold(folding: Folding, change: RowChange): boolean {
  const { keyColumns, fates, unkeyed } = folding;
  if (keyColumns.length === 0) {
    unkeyed.push(change);
    if (change.kind !== 'insert') folding.onlyInserts = false;
    return true;
  }
  switch (change.kind) {
    case 'insert':
      return foldInsert(fates, keyOf(change.after, keyColumns), change.after);
    case 'delete':
      return foldDelete(fates, keyOf(change.before, keyColumns), change.before);
    case 'update': {
      const key = keyOf(change.after, keyColumns);
      const oldKey = change.before ? keyOf(change.before, keyColumns) : key;
      if (change.before && oldKey !== key)
        return foldMove(fates, { from: oldKey, to: key, before: change.before, after: change.after });
      const earlier = fates.get(key);
      if (earlier?.kind === 'delete') return false;
      const row = earlier ? fillUnchanged(change.after, earlier.row) : change.after;
      fates.set(key, { kind: earlier?.kind ?? 'update', row });
      return true;
    }
    default:
      return unreachable(change);
  }
}

function foldInsert(fates: Map<string, Fate>, key: string, row: Row): boolean {
  const earlier = fates.get(key);
  if (earlier && earlier.kind !== 'delete') return false;
  fates.set(key, { kind: earlier ? 'update' : 'insert', row });
  return true;
}

function foldDelete(fates: Map<string, Fate>, key: string, row: Row): boolean {
  const earlier = fates.get(key);
  if (earlier?.kind === 'delete') return false;
  if (earlier?.kind === 'insert') fates.delete(key);
  else fates.set(key, { kind: 'delete', row });
  return true;
}

/** A row that moves to another key is one row gone and one come, if all of it is known. */
function foldMove(fates: Map<string, Fate>, move: { from: string; to: string; before: Row; after: Row }): boolean {
  const { from, to, before, after } = move;
  const earlier = fates.get(from);
  const row = earlier && earlier.kind !== 'delete' ? fillUnchanged(after, earlier.row) : after;
  if (hasUnchanged(row)) return false;
  const inWay = fates.get(to);
  if (earlier?.kind === 'delete' || (inWay && inWay.kind !== 'delete')) return false;
  return foldDelete(fates, from, before) && foldInsert(fates, to, row);
}

/** The key cells with their lengths, as a text that is equal for equal keys only. */
function keyOf(row: Row, keyColumns: readonly number[]): string {
  let at = 2;
  let column = 0;
  let key = '';
  for (const wanted of keyColumns) {
    for (; column < wanted; column += 1) at = cellEnd(row, at);
    const end = cellEnd(row, at);
    key += row.toString('latin1', at, end);
    at = end;
    column += 1;
  }
  return key;
}
