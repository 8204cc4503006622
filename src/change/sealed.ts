import { ChangeoverError } from '../error.ts';
import type { Batch } from './change.ts';

/** What a sealed batch holds. Undefined for one that is not sealed as a whole. */
export function envelopeOf({ changes }: Batch): Buffer | undefined {
  const [change] = changes;
  return change?.kind === 'sealed' && changes.length === 1 ? change.envelope : undefined;
}

export const isSealed = ({ changes }: Batch): boolean => changes.some(({ kind }) => kind === 'sealed');

/** For whoever meets a sealed change and has no key. To pass over it would lose what is in it (invariant 5). */
export const stillSealed = (where = 'A change'): ChangeoverError =>
  new ChangeoverError('BROKER_SEALED', `${where} is sealed, and no key is configured`);
