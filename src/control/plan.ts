import type { MoveKind } from '../change/control.ts';
import { unreachable } from '../error.ts';

/** How far a move of the lead is: each but the first is a journalled entry, and means that its step is done. `cancelling` is off the
 *  road: it goes back to where the move began. */
export type Stage = 'asked' | 'armed' | 'fenced' | 'sealed' | 'proved' | 'promoted' | 'opened' | 'cancelling';

/** What is done next. Each may be begun again by whoever finds it unfinished, and does no harm the second time. */
export type Step =
  /** At the future primary: shut to writers, slot and publication there before its first write. */
  | 'arm'
  /** At the old primary: nobody writes any more, and that is proved. */
  | 'fence'
  /** The end of what the old primary wrote is in the log, and it is known to be the end. */
  | 'seal'
  /** The secondary has all of it, is equal as far as compared, and hands out nothing twice. */
  | 'prove'
  /** The point of no return. */
  | 'promote'
  /** The new primary takes writes. */
  | 'open'
  /** The old primary follows, or is left where it stands. */
  | 'follow'
  /** The old primary takes writes as before, and what was made for the move is gone. */
  | 'undo';

const roads: Readonly<Record<MoveKind, readonly Stage[]>> = {
  switchover: ['asked', 'armed', 'fenced', 'sealed', 'proved', 'promoted', 'opened'],
  // A primary that is silent cannot be fenced: the epoch is the fence.
  failover: ['asked', 'armed', 'sealed', 'proved', 'promoted', 'opened'],
};

/** The stages of a move, in their order. */
export const road = (what: MoveKind): readonly Stage[] => roads[what];

/** What follows a stage. */
export function nextStep(what: MoveKind, stage: Stage): Step {
  switch (stage) {
    case 'asked':
      return 'arm';
    case 'armed':
      return what === 'switchover' ? 'fence' : 'seal';
    case 'fenced':
      return 'seal';
    case 'sealed':
      return 'prove';
    case 'proved':
      return 'promote';
    case 'promoted':
      return 'open';
    case 'opened':
      return 'follow';
    case 'cancelling':
      return 'undo';
    default:
      return unreachable(stage);
  }
}

/** Invariant 9: before, a move can be cancelled; from here on it only goes forward. */
export const isPastNoReturn = (stage: Stage): boolean => stage === 'promoted' || stage === 'opened';
