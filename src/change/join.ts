import { assert } from '../error.ts';
import { isAnswer } from './ask.ts';
import type { Batch } from './change.ts';
import { isSame } from './position.ts';

/** True for a batch of whole transactions only; false for a piece of something bigger. */
export const isWhole = (batch: Batch): boolean => batch.starts && batch.end !== undefined;

/** True for a batch that stays by itself, down to the target's transaction. One that changes the schema: what one transaction made, such
 *  as a value of an enum, PostgreSQL may let only a later one use. One that answers: it is true of the position at its end only. */
export const isAlone = (batch: Batch): boolean =>
  !batch.packed && batch.changes.some((change) => change.kind === 'ddl' || isAnswer(change));

/** Joins neighbours of whole transactions into one batch each; pieces stay as they are, and what is packed: it is large. Order and content are unchanged, and so
 *  a reader cannot tell the difference. */
export function join(batches: readonly Batch[]): readonly Batch[] {
  const joined: Batch[] = [];
  let run: Batch[] = [];
  const close = (): void => {
    const [first, ...others] = run;
    if (first) joined.push(others.length === 0 ? first : merge(first, others));
    run = [];
  };
  for (const batch of batches) {
    if (isWhole(batch) && !batch.packed && !isAlone(batch)) {
      run.push(batch);
    } else {
      close();
      joined.push(batch);
    }
  }
  close();
  return joined;
}

function merge(first: Batch, others: readonly Batch[]): Batch {
  let end = first.end;
  for (const batch of others) {
    assert(isSame(batch.after, end), 'Batches that do not follow one another cannot be joined');
    end = batch.end;
  }
  return { after: first.after, starts: true, changes: [first, ...others].flatMap((batch) => batch.changes), end };
}
