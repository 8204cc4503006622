import { setTimeout as sleep } from 'node:timers/promises';
import type { House, RunOptions } from '../cli/house.ts';
import { laneOf } from '../cli/lane.ts';
import type { Configuration } from '../config/configuration.ts';
import { secondariesOf } from '../config/configuration.ts';
import { preflight } from '../control/preflight.ts';
import { ChangeoverError, isCode } from '../error.ts';
import { backoffMs } from '../flow/backoff.ts';

export interface PrepareOptions extends Omit<RunOptions, 'standby'> {
  readonly configuration: Configuration;
}

/** What comes before the agents: giving up a former copy when that was asked for, and the preflight of a lane that has none yet. A
 *  lane that resumes is not held up: what fails there is retried, or stops with its own code. Throws CONTROL_NOT_READY. */
export async function prepare(house: House, options: PrepareOptions, signal: AbortSignal): Promise<void> {
  const { configuration, restart, report } = options;
  if (restart) await giveUp(house, options, signal);
  if (!options.roles.includes('capture') || (await hasCopy(house, options, signal))) return;
  const findings = await preflight(laneOf(house, configuration), signal);
  for (const { severity, site, message } of findings)
    if (severity === 'warning') report(`warning: ${site}: ${message}`);
  const blockers = findings.filter((finding) => finding.severity === 'blocker');
  const [first] = blockers;
  if (!first) return;
  for (const { site, check, message } of blockers) report(`blocker: ${site}: ${check}: ${message}`);
  const others = blockers.length > 1 ? `, and ${blockers.length - 1} more` : '';
  // One thing in the way is told as what it is, so that who reads the code knows it, too.
  const code = (blockers.length === 1 && first.code) || 'CONTROL_NOT_READY';
  throw new ChangeoverError(code, `${first.site}: ${first.message}${others}`, {
    ...(first.cure !== undefined && { hint: `${first.cure}\nAll findings with their cures: changeover check` }),
  });
}

/** Only the broker knows. One that is away is waited for: whether a lane resumes must not hang on who comes up first. */
async function hasCopy(house: House, { configuration, report }: PrepareOptions, signal: AbortSignal): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await using reader = await house.logReader(configuration, signal);
      return (await reader.observe()).end !== undefined;
    } catch (error) {
      if (isCode(error, 'BROKER_EMPTY')) return false;
      if (!(error instanceof ChangeoverError) || error.code !== 'BROKER_UNREACHABLE') throw error;
      if (attempt === 1) report(`waiting for the broker: ${error.code} ${error.message}\n  hint: ${error.hint}`);
    }
    await sleep(backoffMs(attempt, Math.random()), undefined, { signal });
  }
}

/** The slot first: it is what can harm the primary. The log last: while it is there, an interrupted giving-up can be told. */
async function giveUp(house: House, { configuration, report }: PrepareOptions, signal: AbortSignal): Promise<void> {
  await using source = await house.sourceInspector(configuration, configuration.primary, signal);
  await source.forget(signal);
  for (const { name } of secondariesOf(configuration)) {
    await using target = await house.targetInspector(configuration, name, signal);
    await target.forget(signal);
  }
  await using broker = await house.brokerInspector(configuration, signal);
  await broker.forget(signal);
  report('the former copy is given up: slot, checkpoint and log are gone; a new copy begins');
}
