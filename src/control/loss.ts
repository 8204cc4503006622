import type { Loss } from '../change/control.ts';
import type { Position } from '../change/position.ts';
import type { MachineTime } from '../flow/machine-time.ts';

/** What one look at the primary said. */
export interface Seen {
  readonly position: Position;
  readonly transactions: bigint;
  /** By our clock, before the question went out: what was committed by then is at or before `position`. */
  readonly atMs: number;
  /** The same moment. Undefined: nobody noted it so. */
  readonly machine: MachineTime | undefined;
}

/** The looks at a primary, as far as they still say something. */
export interface Sightings {
  /** The last look that got an answer. */
  readonly last: Seen | undefined;
  /** The last look of which all is in the log. */
  readonly covered: Seen | undefined;
  /** Those in between, oldest first. */
  readonly waiting: readonly Seen[];
}

export const noSightings: Sightings = { last: undefined, covered: undefined, waiting: [] };

/** So many looks wait for the log at the most: while it stands still, the later ones say nothing that the earlier do not. */
const waitingMax = 100;

export const sighted = (sightings: Sightings, seen: Seen): Sightings => ({
  ...sightings,
  last: seen,
  waiting: sightings.waiting.length < waitingMax ? [...sightings.waiting, seen] : sightings.waiting,
});

/** The log reaches to `tail` now. */
export function covered(sightings: Sightings, tail: Position): Sightings {
  const isIn = ({ position }: Seen): boolean => position.origin === tail.origin && position.order <= tail.order;
  const done = sightings.waiting.findLast(isIn);
  return { ...sightings, covered: done ?? sightings.covered, waiting: sightings.waiting.filter((one) => !isIn(one)) };
}

export interface Assessment {
  readonly sightings: Sightings;
  readonly tail: Position | undefined;
  readonly toApply: Loss['toApply'];
  readonly nowMs: number;
  readonly machine: MachineTime;
}

/** What would be lost if the secondary led from here. Capture must be held: then nothing is on its way to the log. The bound in time
 *  holds whatever the primary did after the last look; what is counted is only what that look knew (invariant 10). Pure. */
export function assess({ sightings, tail, toApply, nowMs, machine }: Assessment): Loss {
  const { last, covered: inLog } = sightings;
  const bytes = last && tail?.origin === last.position.origin ? last.position.order - tail.order : undefined;
  const known =
    last && inLog && bytes !== undefined
      ? {
          bytes: Number(bytes > 0n ? bytes : 0n),
          transactions: bytes > 0n ? Number(last.transactions - inLog.transactions) : 0,
        }
      : undefined;
  return {
    toApply,
    notDurableBytes: 0,
    known,
    coveredAtMs: inLog?.atMs,
    boundMs: inLog && agoMs(inLog, { atMs: nowMs, machine }),
  };
}

type Moment = Pick<Seen, 'atMs' | 'machine'>;

/** Invariant 16: a clock that was set back must not make the bound smaller. Of the clock on the wall and the machine's own counting the
 *  one counts that says longer. Where the machine began anew in between, there is only the one that may have been set: then nobody knows. */
function agoMs(then: Moment, now: Moment): number | undefined {
  if (then.machine === undefined || then.machine.boot !== now.machine?.boot) return undefined;
  return Math.max(0, now.atMs - then.atMs, now.machine.upMs - then.machine.upMs);
}
