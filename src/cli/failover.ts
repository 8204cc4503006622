import type { Loss } from '../change/control.ts';
import { nextOffset } from '../change/position.ts';
import type { Configuration } from '../config/configuration.ts';
import { formatDurationMs, parseDurationMs } from '../config/units.ts';
import type { Acceptance } from '../control/decide.ts';
import { assess, covered } from '../control/loss.ts';
import { keptSightings } from '../control/sightings.ts';
import { bytesWords, countWords, durationWords } from '../control/words.ts';
import { ChangeoverError } from '../error.ts';
import { machineTime } from '../flow/machine-time.ts';
import { aligned, outJson, paint, type Session } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { type ConfiguredOptions, configurationFor, sitesMeant } from './lane.ts';
import { lossJson, move, requestId } from './move.ts';

export interface FailoverArguments extends ConfiguredOptions {
  readonly to: string;
  readonly acceptLoss?: string;
  readonly dryRun?: true;
}

export async function failover(session: Session, options: FailoverArguments): Promise<ExitCode> {
  const { to, acceptLoss, dryRun } = options;
  const json = options.json === true;
  const accept = acceptLoss === undefined ? undefined : acceptance(acceptLoss);
  const configuration = await configurationFor(session, options);
  const why = session.house.immovable(configuration);
  if (why !== undefined) throw new ChangeoverError('CONTROL_REFUSED', why);
  sitesMeant(configuration, to);
  const isOnlyShown = dryRun === true || accept === undefined;
  const loss = await preview(session, configuration, to);
  if (json && isOnlyShown)
    outJson(session.desk, {
      schema: 'changeover.failover.dry-run/1',
      from: configuration.primary,
      to,
      loss: lossJson(loss),
    });
  if (!json) show(session, { from: configuration.primary, to, loss });
  if (dryRun) return 0;
  if (accept === undefined)
    throw new ChangeoverError('CONTROL_REFUSED', 'What may be lost was not accepted', {
      hint: `Nothing was changed. To go on: changeover failover --to ${to} --accept-loss ${wanted(loss)}`,
    });
  return move(session, { configuration, request: { id: requestId(), what: 'failover', to, accept }, json });
}

function acceptance(text: string): Acceptance {
  if (text === 'all') return text;
  const ms = parseDurationMs(text);
  if (ms !== undefined) return ms;
  throw new ChangeoverError('CLI_USAGE', `--accept-loss takes a duration such as 30s, or all, not "${text}"`);
}

/** While the operator reads and types, time goes on. */
const wanted = ({ boundMs }: Loss): string =>
  boundMs === undefined ? 'all' : formatDurationMs(Math.ceil(boundMs / 1000 + 30) * 1000);

/** As of now; the coordinator looks again before it takes the acceptance. */
async function preview({ house, signal }: Session, configuration: Configuration, to: string): Promise<Loss> {
  await using reader = await house.logReader(configuration, signal);
  const held = await reader.observe();
  await using target = await house.targetInspector(configuration, to, signal);
  const { checkpoint } = await target.observe(signal);
  const from = checkpoint ? nextOffset(checkpoint.offset) : held.first;
  const toApply = { entries: held.next - from, bytes: await held.bytesFrom(from) };
  const kept = await keptSightings(configuration.folder, configuration.primary);
  const sightings = held.end ? covered(kept, held.end) : kept;
  return assess({ sightings, tail: held.end, toApply, nowMs: Date.now(), machine: machineTime() });
}

function show({ desk }: Session, { from, to, loss }: { from: string; to: string; loss: Loss }): void {
  const { toApply, known, boundMs } = loss;
  const bound =
    boundMs === undefined ? 'nobody knows how much' : `what was committed in the last ${durationWords(boundMs)}`;
  desk.out(`${paint(desk, ['yellow', 'bold'], 'MAY BE LOST')}: ${bound}, if ${to} leads instead of ${from}\n`);
  desk.out(
    aligned([
      [
        'in the log, not applied yet',
        `${countWords(toApply.entries, 'entry', 'entries')}, ${bytesWords(toApply.bytes)}: applied first, none of it is lost`,
      ],
      ['captured, not durable', 'nothing: the log takes a change before the primary may forget it'],
      [
        'known, not captured',
        known
          ? `${bytesWords(known.bytes)} of the primary's log, at most ${countWords(known.transactions, 'transaction', 'transactions')}, at the last look`
          : 'not known: nobody looked at the primary',
      ],
      [
        'unknown',
        boundMs === undefined
          ? 'everything since the last copy'
          : `whatever was committed since; everything of ${durationWords(boundMs)} ago and before is in the log`,
      ],
    ]),
  );
}
