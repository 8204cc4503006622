import type { Entry } from '../broker/broker.ts';
import type { Change } from '../change/change.ts';
import { isAlone, isWhole } from '../change/join.ts';
import { coalesce, type Step } from './coalesce.ts';

/** What is written in one go: whole transactions that share one target transaction, or a single piece. */
export interface Part {
  readonly kind: 'whole' | 'piece';
  /** In their order; one, if it is a piece. */
  readonly entries: readonly Entry[];
  readonly changes: number;
  readonly steps: readonly Step[];
}

/** Below this, folding gains nothing over a pipeline of statements in their own order. */
const foldFromChanges = 48;

/** Folds entries into what will be written. Pure, and the costly half of applying that needs no target: it is done while the lot
 *  before is being written. */
export function prepare(entries: readonly Entry[]): readonly Part[] {
  const parts: Part[] = [];
  let run: Entry[] = [];
  const close = (): void => {
    if (run.length > 0) parts.push(partOf('whole', run));
    run = [];
  };
  for (const entry of entries) {
    const isPiece = !isWhole(entry.batch) || opensSnapshot(entry);
    if (!isPiece && !isAlone(entry.batch)) {
      run.push(entry);
      continue;
    }
    close();
    parts.push(partOf(isPiece ? 'piece' : 'whole', [entry]));
  }
  close();
  return parts;
}

function partOf(kind: Part['kind'], entries: readonly Entry[]): Part {
  const changes = entries.flatMap(({ batch }) => batch.changes);
  return { kind, entries, changes: changes.length, steps: stepsOf(changes) };
}

const stepsOf = (changes: readonly Change[]): readonly Step[] =>
  changes.length < foldFromChanges ? [{ order: 'kept', changes, originals: changes }] : coalesce(changes);

export const opensSnapshot = ({ batch }: Pick<Entry, 'batch'>): boolean => batch.changes[0]?.kind === 'snapshot';
