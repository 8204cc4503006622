import { setTimeout as sleep } from 'node:timers/promises';
import { isBefore, type Position } from '../change/position.ts';
import { ChangeoverError } from '../error.ts';
import type { Lane } from './lane.ts';
import { durationWords } from './words.ts';

export interface WaitOptions {
  /** Default: every secondary. */
  readonly sites?: readonly string[];
  readonly timeoutMs: number;
}

export interface CaughtUp {
  /** The end of what was committed at the primary before the call. */
  readonly mark: Position;
  readonly sites: readonly { readonly site: string; readonly position: Position; readonly tookMs: number }[];
}

const firstPauseMs = 20;
/** Often enough that a script does not feel it, seldom enough that a secondary does not. */
const pauseMsMax = 500;

/** Resolves when everything committed at the primary before the call is visible at the secondaries. Throws CONTROL_DEADLINE
 *  after `timeoutMs`, BROKER_FOREIGN when a secondary was fed from another database, and what the primary or a secondary
 *  refuses for good; who is unreachable for a while is waited for. A secondary that stands beyond the primary's own end holds
 *  a history that the primary lost, by a restore, and has reached nothing until it is copied anew. */
export async function waitCaughtUp(lane: Lane, options: WaitOptions, signal: AbortSignal): Promise<CaughtUp> {
  const deadline = AbortSignal.timeout(options.timeoutMs);
  const either = AbortSignal.any([signal, deadline]);
  const sites = options.sites ?? lane.secondaries;
  const stands = new Map<string, string>(sites.map((site) => [site, `${site} has not answered`]));
  const startedMs = performance.now();
  try {
    const mark = await marked(lane, either);
    const onStand = (site: string, stand: string): void => void stands.set(site, stand);
    const reached = await Promise.all(
      sites.map(async (site) => {
        const position = await reach({ lane, site, mark, onStand }, either);
        stands.delete(site);
        return { site, position, tookMs: Math.round(performance.now() - startedMs) };
      }),
    );
    return { mark, sites: reached };
  } catch (cause) {
    signal.throwIfAborted();
    if (!deadline.aborted) throw cause;
    const where = [...stands.values()].join('; ');
    const message = `Not caught up with ${lane.primary} after ${durationWords(options.timeoutMs)}: ${where}`;
    throw new ChangeoverError('CONTROL_DEADLINE', message, { cause });
  }
}

async function marked(lane: Lane, signal: AbortSignal): Promise<Position> {
  await using inspector = await lane.source(signal);
  return await inspector.mark(signal);
}

interface Goal {
  readonly lane: Lane;
  readonly site: string;
  readonly mark: Position;
  readonly onStand: (site: string, stand: string) => void;
}

async function reach(goal: Goal, signal: AbortSignal): Promise<Position> {
  for (;;) {
    try {
      return await reachConnected(goal, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ChangeoverError) || error.action !== 'retry') throw error;
      goal.onStand(
        goal.site,
        `${error.code.startsWith('SOURCE_') ? goal.lane.primary : goal.site} cannot be asked (${error.code})`,
      );
    }
    await sleep(pauseMsMax, undefined, { signal });
  }
}

async function reachConnected({ lane, site, mark, onStand }: Goal, signal: AbortSignal): Promise<Position> {
  await using inspector = await lane.target(site, signal);
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, pauseMsMax)) {
    const { checkpoint } = await inspector.observe(signal);
    const position = checkpoint?.position;
    if (position !== undefined && position.origin !== mark.origin)
      throw new ChangeoverError('BROKER_FOREIGN', `${site} was fed from another database than ${lane.primary}`);
    const lacks = position === undefined ? 'holds no whole copy yet' : `stands at ${position.token}`;
    if (position === undefined || isBefore(position, mark)) onStand(site, `${site} ${lacks}, before ${mark.token}`);
    else {
      const end = await endOf(lane, signal);
      if (!isBefore(end, position)) return position;
      onStand(site, `${site} ${lacks}, beyond the end of ${lane.primary} (${end.token}), which lost what came after`);
    }
    await sleep(pauseMs, undefined, { signal });
  }
}

/** Asked for after the secondary's: what it was fed with came before. */
async function endOf(lane: Lane, signal: AbortSignal): Promise<Position> {
  await using inspector = await lane.source(signal);
  return (await inspector.observe(signal)).position;
}
