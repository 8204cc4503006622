import { setTimeout as sleep } from 'node:timers/promises';
import { secondariesOf } from '../config/configuration.ts';
import { isCode } from '../error.ts';
import type { AgentsOptions } from './crew.ts';

/** Who ends is followed within about so long. */
const lookMs = 1000;

/** Runs `work` once nobody else does it, and again whenever it was lost to somebody else: capture to who holds the log, apply to who holds
 *  the secondary. What is waited for is theirs already, the lock of the log or of its stream and that of the secondary, and so there is
 *  nothing to agree on, and nothing that could say otherwise. */
export async function standingBy(
  options: AgentsOptions,
  work: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { report } = options;
  for (;;) {
    let waited = false;
    while (await isTaken(options, signal)) {
      if (!waited) report('standby: another process does this; it is followed when it ends');
      waited = true;
      await sleep(lookMs, undefined, { signal });
    }
    if (waited) report('standby: it has ended; this process goes on in its place');
    try {
      await work();
      return;
    } catch (error) {
      if (!isLost(error)) throw error;
      await sleep(lookMs, undefined, { signal });
    }
  }
}

/** Asks by trying: what only looks would be late. What else fails is told by the work itself. */
async function isTaken(options: AgentsOptions, signal: AbortSignal): Promise<boolean> {
  try {
    await (options.roles.includes('capture') ? tryLog(options, signal) : tryTargets(options, signal));
    return false;
  } catch (error) {
    signal.throwIfAborted();
    return isLost(error);
  }
}

async function tryLog({ configuration, adapters }: AgentsOptions, signal: AbortSignal): Promise<void> {
  await using broker = await adapters.openBroker(configuration, signal);
  await broker.tail();
}

async function tryTargets({ configuration, adapters, site }: AgentsOptions, signal: AbortSignal): Promise<void> {
  for (const one of secondariesOf(configuration)) {
    if ((site ?? one.name) !== one.name) continue;
    await using _target = await adapters.openTarget(configuration, one, signal);
  }
}

const isLost = (error: unknown): boolean => isCode(error, 'BROKER_LOCKED') || isCode(error, 'TARGET_BUSY');
