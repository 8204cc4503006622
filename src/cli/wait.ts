import { waitCaughtUp } from '../control/wait.ts';
import { durationWords } from '../control/words.ts';
import { ChangeoverError } from '../error.ts';
import { outJson, paint, type Session } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { type ConfiguredOptions, configurationFor, laneOf, numberIn, sitesMeant } from './lane.ts';

export interface WaitArguments extends ConfiguredOptions {
  readonly timeout: string;
  readonly site?: string;
}

/** The longest that a timer of Node can wait: 2^31 - 1 ms. */
const timeoutMsMax = 2_147_483_647;

export async function wait(session: Session, options: WaitArguments): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const timeoutMs = Math.min(numberIn(options.timeout, { name: '--timeout', whole: false }) * 1000, timeoutMsMax);
  const configuration = await configurationFor(session, options);
  const sites = sitesMeant(configuration, options.site);
  if (sites.length === 0)
    throw new ChangeoverError(
      'CONTROL_REFUSED',
      `${configuration.primary} has no secondary: there is nobody to wait for`,
    );
  const { mark, sites: reached } = await waitCaughtUp(laneOf(house, configuration), { sites, timeoutMs }, signal);
  const { primary } = configuration;
  if (options.json) {
    const rows = reached.map(({ site, position, tookMs }) => ({ site, position: position.token, tookMs }));
    outJson(desk, { schema: 'changeover.wait/1', verdict: 'CAUGHT UP', primary, mark: mark.token, secondaries: rows });
    return 0;
  }
  const tookMs = Math.max(...reached.map((one) => one.tookMs));
  const verdict = paint(desk, ['green', 'bold'], 'CAUGHT UP');
  const names = reached.map(({ site }) => site).join(', ');
  desk.out(
    `${verdict}: ${names} shows all that ${primary} had committed at ${mark.token}, after ${durationWords(tookMs)}\n`,
  );
  return 0;
}
