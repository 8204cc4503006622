import type { Entry } from '../broker/broker.ts';
import { type Batch, changeCount } from '../change/change.ts';
import { isAlone, isWhole } from '../change/join.ts';
import { coalesce, type Step } from './coalesce.ts';

/** What is written in one go: whole transactions that share one target transaction, a single piece, or pieces of a copy that hold
 *  nothing but rows. */
export interface Part {
  readonly kind: 'whole' | 'piece';
  /** In their order. */
  readonly entries: readonly Entry[];
  readonly changes: number;
  readonly steps: readonly Step[];
}

/** Below this, folding gains nothing over a pipeline of statements in their own order. */
const foldFromChanges = 48;

/** Folds entries into what will be written. Pure, and the costly half of applying that needs no target: it is done while the lot
 *  before is being written. */
export function prepare(entries: readonly Entry[]): readonly Part[] {
  const parts: { kind: Part['kind']; joins: boolean; entries: Entry[] }[] = [];
  for (const entry of entries) {
    const kind = !isWhole(entry.batch) || opensSnapshot(entry) ? 'piece' : 'whole';
    const joins = kind === 'piece' ? isCopied(entry) : !isAlone(entry.batch);
    const last = parts.at(-1);
    if (joins && last?.joins && last.kind === kind) last.entries.push(entry);
    else parts.push({ kind, joins, entries: [entry] });
  }
  return parts.map(({ kind, entries: of }) => partOf(kind, of));
}

/** A piece of a copy with rows and nothing else. */
const isCopied = ({ batch }: Entry): boolean =>
  !batch.starts && !batch.end && areCopiedRows(batch) && changeCount(batch) > 0;

const areCopiedRows = (batch: Batch): boolean =>
  !batch.packed && batch.changes.every(({ kind }) => kind === 'rows' || kind === 'message');

function partOf(kind: Part['kind'], entries: readonly Entry[]): Part {
  const changes = entries.reduce((sum, { batch }) => sum + changeCount(batch), 0);
  return {
    kind,
    entries,
    changes,
    steps: stepsOf(
      entries.map(({ batch }) => batch),
      changes,
    ),
  };
}

const stepsOf = (batches: readonly Batch[], count: number): readonly Step[] =>
  count < foldFromChanges || batches.every(areCopiedRows)
    ? [{ order: 'kept', changes: batches.flatMap(({ changes }) => changes) }]
    : coalesce(batches);

export const opensSnapshot = ({ batch }: Pick<Entry, 'batch'>): boolean =>
  !batch.packed && batch.changes[0]?.kind === 'snapshot';
