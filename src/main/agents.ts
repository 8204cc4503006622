import { setTimeout as sleep } from 'node:timers/promises';
import { apply } from '../apply/apply.ts';
import type { Broker, BrokerReader } from '../broker/broker.ts';
import { capture } from '../capture/capture.ts';
import { epoch } from '../change/position.ts';
import { type Configuration, type Site, secondariesOf } from '../config/configuration.ts';
import type { Role } from '../control/agents.ts';
import { ChangeoverError, isCode } from '../error.ts';
import { supervise } from '../flow/supervise.ts';
import { subscribe } from '../telemetry.ts';
import { openBroker, openReader, openSource, openTarget, siteOf } from './adapters.ts';
import { LifeTold, type Report } from './life.ts';

export interface AgentsOptions {
  readonly configuration: Configuration;
  readonly roles: readonly Role[];
  /** Only the apply agent of this site; default of all secondaries. */
  readonly site?: string;
  readonly report: Report;
}

interface Agent {
  readonly role: Role;
  readonly site: Site;
  readonly run: (progressed: () => void, signal: AbortSignal) => Promise<void>;
}

/** After capture stopped for good, apply may finish what is in the log: until nothing came for so long, and no longer than that. */
const quietMs = 3000;
const drainMsMax = 60_000;

/** Runs agents, each under its own supervision, until `signal` aborts. One that stops for good does not take the others along once
 *  it has worked: a dead secondary must not keep the log from taking the primary's changes, and what is in the log is applied even
 *  when nothing new comes. Throws the error of an agent that fails for good at its first try at once, of the others when all have stopped. */
export async function runAgents(options: AgentsOptions, signal: AbortSignal): Promise<void> {
  const { configuration, roles, report } = options;
  await using opened = new AsyncDisposableStack();
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const agents: Agent[] = [];
  if (roles.includes('capture')) {
    const broker = opened.use(await openBroker(configuration, both));
    agents.push(captureAgent(configuration, broker));
  }
  if (roles.includes('apply')) agents.push(...applyAgents(configuration, options.site));

  const live = async (agent: Agent): Promise<void> => {
    await using told = new LifeTold({ folder: configuration.folder, role: agent.role, site: agent.site.name, report });
    try {
      await supervise({ run: agent.run, onLife: (life) => told.tell(life) }, both);
    } catch (error) {
      if (!told.hasLived) stop.abort();
      else if (agent.role === 'capture') await drained(both).finally(() => stop.abort());
      throw error;
    }
  };
  const results = await Promise.allSettled(agents.map(live));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed && !signal.aborted) throw failed.reason;
}

function captureAgent(configuration: Configuration, broker: Broker): Agent {
  const site = siteOf(configuration, configuration.primary);
  return {
    role: 'capture',
    site,
    async run(progressed, signal) {
      await using source = await openSource(configuration, site);
      // Epoch 1: the first leader, and the only one until there is a failover.
      const reader = (inner: AbortSignal): Promise<BrokerReader> => openReader(configuration, inner);
      await capture({ source, broker, openReader: reader, epoch: epoch(1), progressed }, signal);
    },
  };
}

function applyAgents(configuration: Configuration, only: string | undefined): readonly Agent[] {
  const sites = only === undefined ? secondariesOf(configuration) : [siteOf(configuration, only)];
  return sites.map((site) => ({
    role: 'apply',
    site,
    async run(progressed, signal) {
      await using broker = await begun(configuration, signal);
      await using target = await openTarget(configuration, site, signal);
      await apply({ broker, target, consumer: site.name, progressed }, signal);
    },
  }));
}

/** At a remote broker an apply agent may be there before the stream is: capture runs elsewhere, or has not reached the broker yet. */
async function begun(configuration: Configuration, signal: AbortSignal): Promise<BrokerReader> {
  try {
    return await openReader(configuration, signal);
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
