import { setTimeout as sleep } from 'node:timers/promises';
import { apply } from '../apply/apply.ts';
import type { Broker, BrokerReader } from '../broker/broker.ts';
import { capture } from '../capture/capture.ts';
import type { Epoch } from '../change/position.ts';
import { type Configuration, type Site } from '../config/configuration.ts';
import type { Role } from '../control/agents.ts';
import type { Crew } from '../control/crew.ts';
import type { Standing } from '../control/state.ts';
import { ChangeoverError, isCode } from '../error.ts';
import { supervise } from '../flow/supervise.ts';
import { subscribe } from '../telemetry.ts';
import { type Adapters, siteOf } from './adapters.ts';
import { type BudgetOptions, withinBudget } from './budget.ts';
import { LifeTold, type Report } from './life.ts';

export interface AgentsOptions {
  readonly configuration: Configuration;
  readonly adapters: Adapters;
  readonly roles: readonly Role[];
  /** Only the apply agent of this site; default of all secondaries. */
  readonly site?: string;
  readonly report: Report;
}

export interface CrewOptions extends AgentsOptions {
  /** The log as one capture at a time sees it. Undefined: capture runs elsewhere. */
  readonly writer: (() => Broker) | undefined;
}

interface Agent {
  readonly role: Role;
  readonly site: Site;
  readonly run: (progressed: () => void, signal: AbortSignal) => Promise<void>;
}

interface AtWork {
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/** After capture stopped for good, apply may finish what is in the log: until nothing came for so long, and no longer than that. */
const quietMs = 3000;
const drainMsMax = 60_000;

/** Agents of this process, each under its own supervision. One that stops for good does not take the others along once it has worked: a
 *  dead secondary must not keep the log from taking the primary's changes, and what is in the log is applied even when nothing new
 *  comes. */
export class OwnCrew implements Crew, AsyncDisposable {
  readonly #options: CrewOptions;
  readonly #atWork = new Map<string, AtWork>();
  readonly #over = Promise.withResolvers<void>();
  readonly #signal: AbortSignal;
  #failure: { readonly error: unknown } | undefined;

  constructor(options: CrewOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    if (signal.aborted) this.#over.resolve();
    else signal.addEventListener('abort', () => this.#over.resolve(), { once: true });
  }

  get applies(): boolean {
    return this.#options.roles.includes('apply') && this.#options.site === undefined;
  }

  /** Resolves when `signal` aborts; rejects with what stopped an agent at its first try, or the first of all of them, once they all have. */
  async over(): Promise<void> {
    await this.#over.promise;
    if (this.#failure && !this.#signal.aborted) throw this.#failure.error;
  }

  async lead(standing: Standing): Promise<void> {
    const wanted = this.#agentsOf(standing);
    for (const key of this.#atWork.keys()) if (!wanted.has(key)) await this.#hold(key);
    for (const [key, agent] of wanted) if (!this.#atWork.has(key)) this.#start(key, agent);
  }

  isFed(site: string): boolean {
    return this.#atWork.has(`apply ${site}`);
  }

  async holdCapture(): Promise<void> {
    for (const key of this.#atWork.keys()) if (key.startsWith('capture ')) await this.#hold(key);
  }

  holdApply(site: string): Promise<void> {
    return this.#hold(`apply ${site}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { stop } of this.#atWork.values()) stop.abort();
    for (const { done } of this.#atWork.values()) await done;
  }

  async #hold(key: string): Promise<void> {
    const one = this.#atWork.get(key);
    if (!one) return;
    this.#atWork.delete(key);
    one.stop.abort();
    await one.done;
  }

  #agentsOf({ leader, epoch, stranded }: Standing): ReadonlyMap<string, Agent> {
    const { configuration, adapters, roles, site: only, writer } = this.#options;
    const agents = new Map<string, Agent>();
    if (roles.includes('capture') && writer)
      agents.set(`capture ${leader} ${epoch}`, captureAgent({ configuration, adapters }, { leader, epoch, writer }));
    if (!roles.includes('apply')) return agents;
    for (const site of configuration.sites) {
      if (site.name === leader || stranded.includes(site.name) || (only ?? site.name) !== site.name) continue;
      agents.set(`apply ${site.name}`, applyAgent({ configuration, adapters }, site));
    }
    return agents;
  }

  #start(key: string, agent: Agent): void {
    const stop = new AbortController();
    const done = this.#live(agent, AbortSignal.any([this.#signal, stop.signal])).catch((error: unknown) => {
      this.#failure ??= { error };
      this.#atWork.delete(key);
      if (this.#atWork.size === 0) this.#over.resolve();
    });
    this.#atWork.set(key, { stop, done });
  }

  async #live(agent: Agent, signal: AbortSignal): Promise<void> {
    const { configuration, report } = this.#options;
    await using told = new LifeTold({ folder: configuration.folder, role: agent.role, site: agent.site.name, report });
    try {
      const work = (inner: AbortSignal): Promise<void> =>
        supervise({ run: agent.run, onLife: (life) => told.tell(life) }, inner);
      await (agent.role === 'capture' ? withinBudget(this.#budgetOf(agent.site), work, signal) : work(signal));
    } catch (error) {
      // Its supervisor knows nothing of it.
      if (error instanceof ChangeoverError && error.code === 'SOURCE_SLOT_RELEASED')
        told.tell({ state: 'stopped', error });
      this.#failure ??= { error };
      if (!told.hasLived) this.#over.resolve();
      else if (agent.role === 'capture') await drained(signal).finally(() => this.#over.resolve());
      throw error;
    }
  }

  #budgetOf({ name: primary }: Site): BudgetOptions {
    const { configuration, adapters, report } = this.#options;
    return {
      primary,
      source: () => adapters.openSourceInspector(configuration, primary),
      budgetBytes: configuration.walBudgetBytes,
      over: configuration.overBudget,
      everyMs: configuration.heartbeatMs,
      report: (line) => report(`capture ${primary}: ${line}`),
    };
  }
}

interface Lead {
  readonly leader: string;
  readonly epoch: Epoch;
  readonly writer: () => Broker;
}

type Place = Pick<AgentsOptions, 'configuration' | 'adapters'>;

function captureAgent({ configuration, adapters }: Place, { leader, epoch, writer }: Lead): Agent {
  const site = siteOf(configuration, leader);
  return {
    role: 'capture',
    site,
    async run(progressed, signal) {
      await using source = await adapters.openSource(configuration, site);
      await using broker = writer();
      const reader = (inner: AbortSignal): Promise<BrokerReader> => adapters.openReader(configuration, inner);
      await capture({ source, broker, openReader: reader, epoch, progressed }, signal);
    },
  };
}

function applyAgent({ configuration, adapters }: Place, site: Site): Agent {
  return {
    role: 'apply',
    site,
    async run(progressed, signal) {
      await using broker = await begun({ configuration, adapters }, signal);
      await using target = await adapters.openTarget(configuration, site, signal);
      await apply({ broker, target, consumer: site.name, progressed }, signal);
    },
  };
}

/** At a remote broker an apply agent may be there before the stream is: capture runs elsewhere, or has not reached the broker yet. */
async function begun({ configuration, adapters }: Place, signal: AbortSignal): Promise<BrokerReader> {
  try {
    return await adapters.openReader(configuration, signal);
  } catch (cause) {
    if (configuration.broker.kind === 'log' || !isCode(cause, 'BROKER_EMPTY')) throw cause;
    throw new ChangeoverError('BROKER_UNREACHABLE', 'The stream has not begun yet', {
      hint: 'It begins when changeover capture, or changeover run, reaches the broker and the primary.',
      cause,
    });
  }
}

async function drained(signal: AbortSignal): Promise<void> {
  const giveUpAt = performance.now() + drainMsMax;
  let lastAt = performance.now();
  using _applied = subscribe('changeover:applied', () => {
    lastAt = performance.now();
  });
  while (performance.now() < Math.min(lastAt + quietMs, giveUpAt) && !signal.aborted) {
    await sleep(100, undefined, { signal }).catch(() => undefined);
  }
}
