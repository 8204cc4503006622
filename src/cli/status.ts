import { setTimeout as sleep } from 'node:timers/promises';
import { observe } from '../control/observe.ts';
import { judge } from '../control/verdict.ts';
import { outJson, type Session } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { type ConfiguredOptions, configurationFor, laneOf, numberIn } from './lane.ts';
import { statusJson } from './status-json.ts';
import { statusText } from './status-text.ts';

export interface StatusOptions extends ConfiguredOptions {
  readonly watch?: true;
  readonly every: string;
}

/** Cursor home; then clear from there. The lines are drawn over the old ones, so nothing flickers. */
const home = '\u001b[H';
const clearBelow = '\u001b[J';
const clearLine = '\u001b[K';

export async function status(session: Session, options: StatusOptions): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const everyMs = numberIn(options.every, { name: '--every', least: 0.1, whole: false }) * 1000;
  const lane = laneOf(house, await configurationFor(session, options));
  const redraws = options.watch === true && desk.isTerminal && !options.json;
  if (redraws) desk.out(`${home}${clearBelow}`);
  for (;;) {
    const found = await observe(lane, signal);
    if (options.json) outJson(desk, statusJson(found));
    else if (redraws) desk.out(`${home}${statusText(found, desk).replaceAll('\n', `${clearLine}\n`)}${clearBelow}`);
    else desk.out(statusText(found, desk));
    if (!options.watch) return judge(found).exitCode;
    try {
      await sleep(everyMs, undefined, { signal });
    } catch {
      // To stop watching is how watching ends.
      return judge(found).exitCode;
    }
  }
}
