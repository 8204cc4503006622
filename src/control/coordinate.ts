import { setTimeout as sleep } from 'node:timers/promises';
import type { BrokerReader } from '../broker/broker.ts';
import type { Loss } from '../change/control.ts';
import { nextOffset } from '../change/position.ts';
import { ChangeoverError, unreachable } from '../error.ts';
import { backoffMs } from '../flow/backoff.ts';
import { machineTime } from '../flow/machine-time.ts';
import type { Crew, Reach } from './crew.ts';
import { type Command, decide, type Occurrence, type Request } from './decide.ts';
import { Deeds } from './deeds.ts';
import type { Journal } from './journal.ts';
import { assess } from './loss.ts';
import { isPastNoReturn, type Step } from './plan.ts';
import { dropRequest, openRequests } from './requests.ts';
import { type Move, mayAsk, type Standing } from './state.ts';
import { sentenceOf } from './telling.ts';
import { Watch } from './watch.ts';

export interface CoordinateOptions {
  readonly journal: Journal;
  readonly openReader: (signal: AbortSignal) => Promise<BrokerReader>;
  readonly crew: Crew;
  readonly reach: Reach;
  /** The data folder. */
  readonly folder: string;
  readonly sites: readonly string[];
  /** Why the lead cannot move in this installation. Undefined: it can. */
  readonly immovable: string | undefined;
  /** Whether secondaries are shut to writers from the first start on. */
  readonly guard: boolean;
  /** How often the leader is looked at. */
  readonly watchMs: number;
  readonly report: (line: string) => void;
  readonly clock?: () => number;
}

/** How long a step may take before the point of no return: then the old primary gets its writers back. What is waited for while nobody can
 *  write is waited for shortly. */
const stepMsMax: Partial<Readonly<Record<Step, number>>> = {
  arm: 60_000,
  fence: 15_000,
  seal: 15_000,
  prove: 60_000,
  promote: 15_000,
};
const lookMs = 100;
const silentMsMax = 3000;

/** Moves the lead when asked to, until `signal` aborts. Whoever holds the log's one writer is the coordinator; what it did and where it is
 *  stands in the journal, so that the next one goes on (invariant 9). Throws when the journal cannot be written. */
export async function coordinate(options: CoordinateOptions, signal: AbortSignal): Promise<void> {
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const coordinator = new Coordinator(options);
  const watching = coordinator.watch.run(both);
  // Told by the wait for it below: until then it is nobody's.
  watching.catch(() => stop.abort());
  try {
    await coordinator.run(both);
  } catch (error) {
    if (!both.aborted) throw error;
  } finally {
    stop.abort();
    await watching;
  }
}

class Coordinator {
  readonly #options: CoordinateOptions;
  readonly #deeds: Deeds;
  readonly #clock: () => number;
  readonly watch: Watch;
  #attempt = 0;

  constructor(options: CoordinateOptions) {
    const { journal, crew, reach, openReader, folder, sites, guard, watchMs, clock = Date.now } = options;
    this.#options = options;
    this.#clock = clock;
    this.#deeds = new Deeds({ journal, crew, reach, openReader, clock });
    this.watch = new Watch({ journal, openReader, helm: reach.helm, folder, sites, guard, everyMs: watchMs, clock });
  }

  async run(signal: AbortSignal): Promise<void> {
    // A primary that is to be failed over from need not be tried first.
    const first = this.#standing.move ? undefined : await this.#asked();
    if (first?.what !== 'failover') await this.#follow(this.#decide({ kind: 'began' }), signal);
    for (;;) {
      signal.throwIfAborted();
      const request = await this.#asked();
      if (request) await this.#follow(await this.#weighed(request, signal), signal, request);
      else await sleep(lookMs, undefined, { signal });
    }
  }

  get #standing(): Standing {
    return this.#options.journal.standing;
  }

  #decide(occurrence: Occurrence): readonly Command[] {
    return decide(this.#standing, occurrence, this.#clock()).commands;
  }

  /** The oldest request; none while there is no journal that could answer it. */
  async #asked(): Promise<Request | undefined> {
    const { folder, journal } = this.#options;
    if ((await journal.tail()) === undefined) return undefined;
    const [request] = await openRequests(folder);
    if (!request || request.id !== this.#standing.answered) return request;
    await dropRequest(folder, request.id);
    return undefined;
  }

  /** Does all that is to be done, and what follows from it. The request that it answers is open until the first entry tells of it. */
  async #follow(commands: readonly Command[], signal: AbortSignal, request?: Request): Promise<void> {
    const due = [...commands];
    for (let command = due.shift(); command; command = due.shift()) {
      due.unshift(...(await this.#do(command, signal)));
      if (request && command.kind === 'record') await dropRequest(this.#options.folder, request.id);
    }
    if (request) await dropRequest(this.#options.folder, request.id);
  }

  async #do(command: Command, signal: AbortSignal): Promise<readonly Command[]> {
    const { crew, journal, report } = this.#options;
    switch (command.kind) {
      case 'lead':
        await crew.lead(this.#standing);
        return [];
      case 'record': {
        const { event, end } = command;
        const before = this.#standing;
        await journal.record(event, { ...(end && { end }) }, signal);
        this.#attempt = 0;
        report(sentenceOf(event));
        return decide(before, { kind: 'journalled', event }, this.#clock()).commands;
      }
      case 'perform':
      case 'retry':
        if (command.kind === 'retry') this.#attempt += 1;
        return this.#perform(command.step, signal);
      default:
        return unreachable(command);
    }
  }

  /** A step until it is done, fails, or a request goes before it. */
  async #perform(step: Step, signal: AbortSignal): Promise<readonly Command[]> {
    await this.watch.rest();
    const { move } = this.#standing;
    const stop = new AbortController();
    const msMax = move && move.stage !== 'cancelling' && !isPastNoReturn(move.stage) ? limitMs(move, step) : undefined;
    const late = msMax === undefined ? undefined : AbortSignal.timeout(msMax);
    const inner = AbortSignal.any([signal, stop.signal, ...(late ? [late] : [])]);
    const work = this.#attempted(step, inner);
    const listening = this.#interrupted(inner);
    const outcome = await Promise.race([work, listening]);
    stop.abort();
    const [done, commands] = [await work, await listening];
    signal.throwIfAborted();
    if (outcome === commands && commands) return commands;
    if (done.kind === 'failed' && late?.aborted)
      return this.#decide({ ...done, code: 'CONTROL_DEADLINE', message: `To ${step} took longer than ${msMax} ms` });
    return this.#decide(done);
  }

  async #attempted(step: Step, signal: AbortSignal): Promise<Extract<Occurrence, { kind: 'done' | 'failed' }>> {
    try {
      if (this.#attempt > 0) await sleep(backoffMs(this.#attempt, Math.random()), undefined, { signal });
      return { kind: 'done', ...(await this.#deeds.perform(step, signal)) };
    } catch (error) {
      const { code, message } = asError(error);
      if (!signal.aborted) this.#options.report(`to ${step} failed: ${code} ${message}`);
      return { kind: 'failed', step, code, message };
    }
  }

  /** What a request brings that goes before the step under way: a cancel, or a failover where the step is to undo. Others are answered and
   *  the step goes on; undefined once `signal` aborts. */
  async #interrupted(signal: AbortSignal): Promise<readonly Command[] | undefined> {
    const { folder } = this.#options;
    while (!signal.aborted) {
      const request = await this.#asked();
      if (request) {
        const commands = await this.#weighed(request, signal).catch(() => undefined);
        if (commands === undefined) return undefined;
        const isRefused = commands.every((one) => one.kind !== 'record' || one.event.kind === 'refused');
        if (!isRefused) return commands;
        for (const command of commands) if (command.kind === 'record') await this.#do(command, signal);
        await dropRequest(folder, request.id);
      } else await sleep(lookMs, undefined, { signal }).catch(() => undefined);
    }
    return undefined;
  }

  /** What follows from a request; for a failover that may be, after a look at what would be lost. */
  async #weighed(request: Request, signal: AbortSignal): Promise<readonly Command[]> {
    const { sites, crew, immovable } = this.#options;
    const requested = { kind: 'requested', request, sites } as const;
    const refuse = (message: string): readonly Command[] => {
      const event = { kind: 'refused', id: request.id, atMs: this.#clock(), code: 'CONTROL_REFUSED', message } as const;
      return [{ kind: 'record', event }, ...(this.#standing.move ? [] : [{ kind: 'lead' } as const])];
    };
    if (request.what === 'cancel') return this.#decide(requested);
    if (immovable !== undefined) return refuse(immovable);
    if (!crew.applies) return refuse('Apply runs in another process; stop both, and start changeover run');
    if (request.what === 'switchover' || !mayAsk(this.#standing, request.what)) return this.#decide(requested);
    const { leader } = this.#standing;
    if (await this.#answers(leader, signal))
      return refuse(`${leader} answers: nothing need be lost. Use changeover switchover`);
    return this.#decide({ ...requested, loss: await this.#loss(request.to, signal) });
  }

  async #answers(site: string, signal: AbortSignal): Promise<boolean> {
    try {
      await using helm = await this.#options.reach.helm(site, 'primary');
      await helm.sight(AbortSignal.any([signal, AbortSignal.timeout(silentMsMax)]));
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  /** Capture is held before: what it had in hand is in the log then, or was never told to be. */
  async #loss(to: string, signal: AbortSignal): Promise<Loss> {
    const { journal, crew, openReader, reach } = this.#options;
    await crew.holdCapture();
    await using reader = await openReader(signal);
    const held = await reader.observe();
    await using target = await reach.target(to);
    const { checkpoint } = await target.observe(signal);
    const from = checkpoint ? nextOffset(checkpoint.offset) : held.first;
    const toApply = { entries: held.next - from, bytes: await held.bytesFrom(from) };
    const sightings = await this.watch.sightings();
    const tail = await journal.tail();
    return assess({ sightings, tail, toApply, nowMs: this.#clock(), machine: machineTime() });
  }
}

/** What is in the log is waited for when nothing else has it. */
const limitMs = ({ what }: Move, step: Step): number | undefined =>
  what === 'failover' && step === 'prove' ? undefined : stepMsMax[step];

const asError = (error: unknown): { readonly code: string; readonly message: string } =>
  error instanceof ChangeoverError
    ? error
    : { code: 'ASSERTION', message: error instanceof Error ? `${error.name}: ${error.message}` : 'Unexpected' };
