import type { Configuration } from '../config/configuration.ts';
import type { Reach } from '../control/crew.ts';
import { precheck } from '../control/precheck.ts';
import { ChangeoverError } from '../error.ts';
import type { Finding } from '../finding.ts';
import { paragraph } from './check.ts';
import { outJson, paint, type Session } from './desk.ts';
import type { ExitCode } from './failure.ts';
import type { House } from './house.ts';
import { type ConfiguredOptions, configurationFor, laneOf, sitesMeant } from './lane.ts';
import { move, requestId } from './move.ts';

export interface SwitchoverArguments extends ConfiguredOptions {
  readonly to?: string;
  readonly dryRun?: true;
  readonly cancel?: true;
}

export async function switchover(session: Session, options: SwitchoverArguments): Promise<ExitCode> {
  const { to, dryRun, cancel } = options;
  const json = options.json === true;
  if ((to === undefined) === (cancel === undefined))
    throw new ChangeoverError('CLI_USAGE', 'Give either --to with the site that is to lead, or --cancel');
  const configuration = await configurationFor(session, options);
  if (to === undefined) return move(session, { configuration, request: { id: requestId(), what: 'cancel' }, json });
  const findings = await found(session, configuration, to);
  const blockers = findings.filter(({ severity }) => severity === 'blocker');
  const route = `${configuration.primary} to ${to}`;
  if (dryRun) return rehearsed(session, { findings, isReady: blockers.length === 0, route, json });
  const [first] = blockers;
  if (first) {
    const others = blockers.length > 1 ? `, and ${blockers.length - 1} more` : '';
    throw new ChangeoverError('CONTROL_REFUSED', `${first.site}: ${first.message}${others}`, {
      hint: `${first.cure ?? ''}\nAll findings: changeover switchover --to ${to} --dry-run`.trimStart(),
    });
  }
  for (const finding of findings)
    if (!json && finding.severity === 'warning') session.desk.out(paragraph(session.desk, finding));
  return move(session, { configuration, request: { id: requestId(), what: 'switchover', to }, json });
}

async function found(session: Session, configuration: Configuration, to: string): Promise<readonly Finding[]> {
  const { house, signal } = session;
  const why = house.immovable(configuration);
  if (why !== undefined) throw new ChangeoverError('CONTROL_REFUSED', why);
  sitesMeant(configuration, to);
  const leftOut = configuration.tables.filter(({ leaveOut }) => leaveOut === true).map(({ match }) => match);
  const left: readonly Finding[] =
    leftOut.length === 0
      ? []
      : [
          {
            severity: 'warning',
            check: 'left-out',
            site: to,
            message: `tables that match ${leftOut.join(', ')} are left out: it leads without their rows`,
            cure: '-- Replicate them, or make sure that nobody needs them there',
          },
        ];
  const lane = laneOf(house, configuration);
  return [...left, ...(await precheck({ lane, reach: reachOf(house, configuration, signal), to }, signal))];
}

const reachOf = (house: House, configuration: Configuration, signal: AbortSignal): Reach => ({
  helm: (site, side) => house.helm(configuration, { site, side }, signal),
  source: (site) => house.sourceInspector(configuration, site, signal),
  target: (site) => house.targetInspector(configuration, site, signal),
});

interface Rehearsed {
  readonly findings: readonly Finding[];
  readonly isReady: boolean;
  readonly route: string;
  readonly json: boolean;
}

function rehearsed({ desk }: Session, { findings, isReady, route, json }: Rehearsed): ExitCode {
  const verdict = isReady ? 'READY' : 'NOT READY';
  if (json) outJson(desk, { schema: 'changeover.switchover.dry-run/1', verdict, findings });
  else {
    desk.out(
      `${paint(desk, [isReady ? 'green' : 'red', 'bold'], verdict)}: switchover from ${route}; nothing was changed\n`,
    );
    for (const finding of findings) desk.out(paragraph(desk, finding));
  }
  return isReady ? 0 : 1;
}
