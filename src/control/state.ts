import type { ControlEvent, MoveKind, SequenceValue } from '../change/control.ts';
import { type Epoch, epoch, type Offset, type Position } from '../change/position.ts';
import { assert, unreachable } from '../error.ts';
import { road, type Stage } from './plan.ts';

/** A lead on its way from one site to another. */
export interface Move {
  readonly id: string;
  readonly what: MoveKind;
  readonly from: string;
  readonly to: string;
  readonly stage: Stage;
}

/** The entry with which an epoch begins, and where the stream goes on behind it. */
export interface Beginning {
  readonly offset: Offset;
  readonly position: Position;
}

/** Who leads, as the journal tells it. */
export interface Standing {
  readonly epoch: Epoch;
  readonly leader: string;
  /** Undefined in the first epoch, which begins with a copy. */
  readonly beginning: Beginning | undefined;
  /** Sites that led when they fell silent: what they hold beyond the log is not known, and nothing is applied to them. */
  readonly stranded: readonly string[];
  /** What the leader's sequences had handed out at the last look, by name. */
  readonly sequences: Readonly<Record<string, SequenceValue>>;
  readonly move: Move | undefined;
  /** The last request that the journal answered: one that was not put away before its coordinator died is not taken up again. */
  readonly answered?: string;
}

/** Before the first entry: the configuration says who leads. */
export const firstStanding = (leader: string): Standing => ({
  epoch: epoch(1),
  leader,
  beginning: undefined,
  stranded: [],
  sequences: {},
  move: undefined,
});

/** The standing behind an entry of the journal. An entry of a move that is not under way changes nothing: of two who asked at once the
 *  first in the log has it. `place` is that of the entry. Throws ASSERTION for a step without the one before it. Pure. */
export function evolve(standing: Standing, event: ControlEvent, place?: Beginning): Standing {
  const { move } = standing;
  switch (event.kind) {
    case 'refused':
      return { ...standing, answered: event.id };
    case 'sampled':
      if (event.epoch !== standing.epoch) return standing;
      return { ...standing, sequences: { ...standing.sequences, ...event.sequences } };
    case 'asked': {
      if (!mayAsk(standing, event.what) || event.epoch !== standing.epoch || event.from !== standing.leader)
        return standing;
      const { id, what, from, to } = event;
      return { ...standing, answered: id, move: { id, what, from, to, stage: 'asked' } };
    }
    case 'armed':
    case 'fenced':
    case 'sealed':
    case 'proved':
    case 'opened':
      return reached(standing, event.id, event.kind);
    case 'promoted': {
      const next = reached(standing, event.id, 'promoted');
      if (next === standing) return standing;
      assert(event.epoch === standing.epoch + 1, `Epoch ${event.epoch} does not follow ${standing.epoch}`);
      const left = standing.stranded.filter((site) => site !== event.leader);
      return {
        ...next,
        epoch: epoch(event.epoch),
        leader: event.leader,
        beginning: place,
        stranded: event.what === 'failover' ? [...left, event.from] : left,
        sequences: {},
      };
    }
    case 'cancelling':
      return move?.id === event.id ? reached(standing, event.id, 'cancelling') : standing;
    case 'cancelled':
    case 'finished': {
      if (!move || move.id !== event.id) return standing;
      const before: Stage = event.kind === 'cancelled' ? 'cancelling' : 'opened';
      assert(move.stage === before, `A move ${event.kind} that was ${move.stage}`);
      return { ...standing, move: undefined };
    }
    default:
      return unreachable(event);
  }
}

/** While a switchover is being undone its primary may be gone, and then it cannot be: a failover goes over it. */
export const mayAsk = ({ move }: Standing, what: MoveKind): boolean =>
  move === undefined || (what === 'failover' && move.what === 'switchover' && move.stage === 'cancelling');

function reached(standing: Standing, id: string, stage: Stage): Standing {
  const { move } = standing;
  if (!move || move.id !== id || move.stage === stage) return standing;
  if (stage === 'cancelling') {
    assert(!['promoted', 'opened'].includes(move.stage), 'A move was cancelled behind the point of no return');
  } else {
    const stages = road(move.what);
    assert(stages[stages.indexOf(move.stage) + 1] === stage, `A move became ${stage} that was ${move.stage}`);
  }
  return { ...standing, move: { ...move, stage } };
}

/** The standing that an entry tells by itself, where those before it are gone. Undefined: it does not tell who leads. */
export function standingOf(event: ControlEvent, place?: Beginning): Standing | undefined {
  switch (event.kind) {
    case 'sampled':
      return evolve({ ...firstStanding(event.leader), epoch: epoch(event.epoch) }, event);
    case 'asked':
      return evolve({ ...firstStanding(event.from), epoch: epoch(event.epoch) }, event);
    case 'promoted': {
      const { id, what, from, leader } = event;
      const move: Move = { id, what, from, to: leader, stage: 'promoted' };
      const stranded = what === 'failover' ? [from] : [];
      return { ...firstStanding(leader), epoch: epoch(event.epoch), beginning: place, stranded, move };
    }
    case 'refused':
    case 'armed':
    case 'fenced':
    case 'sealed':
    case 'proved':
    case 'opened':
    case 'finished':
    case 'cancelling':
    case 'cancelled':
      return undefined;
    default:
      return unreachable(event);
  }
}
