import { ChangeoverError } from '../../src/error.ts';
import type { Chance } from './chance.ts';
import type { Database } from './database.ts';
import type { Process } from './process.ts';
import type { Scheduler } from './scheduler.ts';

/** A connection that hears nothing for so long is given up. */
export const silenceMsMax = 4000;

export type Way = 'toMs' | 'fromMs';
/** How a link can be cut. */
export const cuts: readonly [readonly Way[], ...(readonly Way[])[]] = [['toMs'], ['fromMs'], ['toMs', 'fromMs']];

/** What lies between our machine and one site; each way can be cut alone. */
export class Link {
  /** Towards the site, and back: cut until then. */
  toMs = 0;
  fromMs = 0;
}

export interface LineOptions {
  readonly process: Process;
  readonly database: Database;
  readonly link: Link;
  readonly side: 'SOURCE' | 'TARGET';
}

/** How one port of one process reaches one site. */
export class Line {
  readonly process: Process;
  readonly database: Database;
  readonly #link: Link;
  readonly #side: 'SOURCE' | 'TARGET';
  readonly #scheduler: Scheduler;
  readonly #chance: Chance;

  constructor({ process, database, link, side }: LineOptions) {
    this.process = process;
    this.database = database;
    this.#link = link;
    this.#side = side;
    this.#scheduler = process.machine.scheduler;
    this.#chance = process.machine.chance;
  }

  /** Does `effect` there, in one atomic step, and brings its answer. Where it throws SOURCE_UNREACHABLE or TARGET_UNREACHABLE, nobody
   *  knows whether it was done. `twice`: what was sent may be sent again. */
  call<T>(effect: () => T, signal?: AbortSignal, { twice = false } = {}): Promise<T> {
    const { process, database } = this;
    return process.wait<T>((resolve, reject) => {
      const lost = (): void => reject(this.unreachable('does not answer'));
      let isOver = false;
      const arrive = (): void => {
        process.sent.delete(landed);
        signal?.removeEventListener('abort', onAbort);
        if (isOver) return;
        isOver = true;
        const answer = database.isUp ? done() : () => reject(this.unreachable('is down'));
        this.#travel('fromMs', answer, lost);
      };
      const done = (): (() => void) => {
        try {
          if (twice && this.#chance.is(0.05)) effect();
          const value = effect();
          return () => resolve(value);
        } catch (error) {
          return () => reject(error);
        }
      };
      // Of a call that was given up, or whose process died, the last statement is there at once, or never.
      const onAbort = (): void => landed(this.#chance.is(0.5));
      signal?.addEventListener('abort', onAbort, { once: true });
      // Whoever comes next waits for what is on its way, as for the lock that it holds there.
      const landed = (arrives: boolean): void => {
        process.sent.delete(landed);
        if (arrives && this.#link.toMs <= this.#scheduler.nowMs) arrive();
        isOver = true;
      };
      process.sent.add(landed);
      this.#travel('toMs', arrive, () => {
        process.sent.delete(landed);
        if (!isOver) lost();
        isOver = true;
      });
    }, signal);
  }

  /** From the site to us, in its own time. */
  receive(signal: AbortSignal): Promise<void> {
    return this.process.wait((resolve, reject) => {
      this.#travel('fromMs', resolve, () => reject(this.unreachable('is silent')));
    }, signal);
  }

  /** Whether anything from there would reach us now. */
  get isHeard(): boolean {
    return this.#link.fromMs <= this.#scheduler.nowMs && this.#link.toMs <= this.#scheduler.nowMs;
  }

  unreachable(why: string): ChangeoverError {
    return new ChangeoverError(`${this.#side}_UNREACHABLE`, `${this.database.name} ${why}`);
  }

  #travel(way: Way, arrive: () => void, giveUp: () => void): void {
    const scheduler = this.#scheduler;
    scheduler.after(this.#latencyMs(), () => {
      const heldMs = this.#link[way] - scheduler.nowMs;
      if (heldMs <= 0) arrive();
      else if (heldMs < silenceMsMax) scheduler.after(heldMs + this.#latencyMs(), arrive);
      else scheduler.after(silenceMsMax, giveUp);
    });
  }

  #latencyMs(): number {
    const chance = this.#chance;
    const kind = chance.next();
    if (kind < 0.94) return 0.5 + 4 * chance.next();
    return kind < 0.995 ? 5 + 100 * chance.next() : 200 + 2000 * chance.next();
  }
}
