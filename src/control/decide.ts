import type { ControlEvent, Loss } from '../change/control.ts';
import type { Position } from '../change/position.ts';
import { unreachable } from '../error.ts';
import { isPastNoReturn, nextStep, type Step } from './plan.ts';
import { type Beginning, evolve, mayAsk, type Standing } from './state.ts';

/** What an operator asks for. */
export type Request =
  | { readonly id: string; readonly what: 'switchover'; readonly to: string }
  | { readonly id: string; readonly what: 'failover'; readonly to: string; readonly accept: Acceptance }
  | { readonly id: string; readonly what: 'cancel' };

/** The most that may be lost: everything committed within so many milliseconds before now, or whatever it is. */
export type Acceptance = number | 'all';

/** What happened. */
export type Occurrence =
  /** A coordinator took over the journal: as a first start, or behind one that died. */
  | { readonly kind: 'began' }
  | { readonly kind: 'requested'; readonly request: Request; readonly sites: readonly string[]; readonly loss?: Loss }
  | { readonly kind: 'journalled'; readonly event: ControlEvent; readonly place?: Beginning }
  /** A step is done; this is to be journalled of it. `end`: where the stream goes on behind that. */
  | { readonly kind: 'done'; readonly event: ControlEvent; readonly end?: Position }
  | { readonly kind: 'failed'; readonly step: Step; readonly code: string; readonly message: string };

/** What is to be done about it. */
export type Command =
  | { readonly kind: 'record'; readonly event: ControlEvent; readonly end?: Position }
  | { readonly kind: 'perform'; readonly step: Step }
  /** Once more, after a pause. */
  | { readonly kind: 'retry'; readonly step: Step }
  /** Capture reads the leader, apply feeds those who follow. */
  | { readonly kind: 'lead' };

export interface Decision {
  readonly standing: Standing;
  readonly commands: readonly Command[];
}

/** The whole protocol of who leads: what happened to a standing, and what follows from it. Pure. `atMs` is a label. */
export function decide(standing: Standing, occurrence: Occurrence, atMs: number): Decision {
  switch (occurrence.kind) {
    case 'began':
      return { standing, commands: onBegin(standing, atMs) };
    case 'requested':
      return { standing, commands: onRequest(standing, occurrence, atMs) };
    case 'journalled': {
      const next = evolve(standing, occurrence.event, occurrence.place);
      return { standing: next, commands: next === standing ? [] : onMoved(standing, next) };
    }
    case 'done':
      return { standing, commands: [{ ...occurrence, kind: 'record' }] };
    case 'failed':
      return { standing, commands: onFailure(standing, occurrence, atMs) };
    default:
      return unreachable(occurrence);
  }
}

/** Nobody knows how far the step was that a dead coordinator was in. Before the point of no return the old primary gets its writers
 *  back at once; behind it the step is done again (invariant 9). */
function onBegin({ move }: Standing, atMs: number): readonly Command[] {
  if (!move) return [{ kind: 'lead' }];
  if (move.stage === 'cancelling') return undone;
  if (isPastNoReturn(move.stage)) return [{ kind: 'perform', step: nextStep(move.what, move.stage) }];
  const message = `The coordinator ended while the move was ${move.stage}`;
  return [record({ kind: 'cancelling', id: move.id, atMs, code: 'CONTROL_INTERRUPTED', message })];
}

type Requested = Extract<Occurrence, { kind: 'requested' }>;

function onRequest(standing: Standing, requested: Requested, atMs: number): readonly Command[] {
  const { request, loss } = requested;
  const { move } = standing;
  const refuse = (message: string): readonly Command[] => [
    record({ kind: 'refused', id: request.id, atMs, code: 'CONTROL_REFUSED', message }),
    // Capture was held while a failover was weighed.
    ...(request.what === 'failover' && !standing.move ? [{ kind: 'lead' } as const] : []),
  ];
  if (request.what === 'cancel') {
    if (!move) return refuse('Nothing is under way');
    if (isPastNoReturn(move.stage)) return refuse(`${move.to} leads already: only forward from here`);
    if (move.stage === 'cancelling') return [];
    const message = 'An operator cancelled it';
    return [record({ kind: 'cancelling', id: move.id, atMs, code: 'CONTROL_CANCELLED', message })];
  }
  if (move && !mayAsk(standing, request.what)) return refuse(`A ${move.what} to ${move.to} is under way`);
  const { what, to, id } = request;
  const { leader: from, epoch, stranded } = standing;
  if (!requested.sites.includes(to)) return refuse(`There is no site ${to}`);
  if (to === from) return refuse(`${to} leads already`);
  if (stranded.includes(to)) return refuse(`${to} was left behind by a failover and is not in step`);
  if (what === 'switchover') return [record({ kind: 'asked', id, atMs, what, from, to, epoch })];
  const { accept } = request;
  if (accept !== 'all' && (loss?.boundMs === undefined || loss.boundMs > accept))
    return refuse(tooMuch(loss?.boundMs, accept));
  return [record({ kind: 'asked', id, atMs, what, from, to, epoch, loss })];
}

const tooMuch = (boundMs: number | undefined, acceptMs: number): string =>
  boundMs === undefined
    ? 'How much would be lost is not known; --accept-loss all accepts whatever it is'
    : `What was committed in the last ${Math.ceil(boundMs / 1000)} s may be lost, which is more than the ${acceptMs / 1000} s accepted`;

/** The journal took an entry: on to the next step, or back to work. */
function onMoved(before: Standing, { move }: Standing): readonly Command[] {
  if (move === undefined) return before.move === undefined ? [] : [{ kind: 'lead' }];
  if (move.stage === before.move?.stage && move.id === before.move.id) return [];
  if (move.stage === 'cancelling') return undone;
  return [{ kind: 'perform', step: nextStep(move.what, move.stage) }];
}

type Failed = Extract<Occurrence, { kind: 'failed' }>;

function onFailure({ move }: Standing, { step, code, message }: Failed, atMs: number): readonly Command[] {
  if (!move) return [];
  if (move.stage === 'cancelling' || isPastNoReturn(move.stage)) return [{ kind: 'retry', step }];
  return [record({ kind: 'cancelling', id: move.id, atMs, code, message })];
}

/** The old primary leads as before, and need not wait until all is tidied up. */
const undone: readonly Command[] = [{ kind: 'lead' }, { kind: 'perform', step: 'undo' }];

const record = (event: ControlEvent): Command => ({ kind: 'record', event });
