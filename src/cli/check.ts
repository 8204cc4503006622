import { type Configuration, secondariesOf } from '../config/configuration.ts';
import { configurationFromUrls } from '../config/replicate.ts';
import { preflight } from '../control/preflight.ts';
import { countWords } from '../control/words.ts';
import { ChangeoverError } from '../error.ts';
import type { Finding } from '../finding.ts';
import { type Desk, outJson, paint, type Session, tame } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { type ConfiguredOptions, configurationFor, laneOf } from './lane.ts';

export interface CheckOptions extends ConfiguredOptions {
  readonly from?: string;
  readonly to?: string;
}

const severities = ['blocker', 'warning', 'note'] as const;
const colours = { blocker: ['red', 'bold'], warning: ['yellow', 'bold'], note: ['dim'] } as const;

export async function check(session: Session, options: CheckOptions): Promise<ExitCode> {
  const { desk } = session;
  const configuration = await configurationToCheck(session, options);
  const found = await preflight(laneOf(session.house, configuration), session.signal);
  const findings = found.toSorted((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity));
  const [blockers = 0, warnings = 0, notes = 0] = severities.map(
    (severity) => findings.filter((finding) => finding.severity === severity).length,
  );
  const verdict = blockers > 0 ? 'NOT READY' : 'READY';
  if (options.json) outJson(desk, { schema: 'changeover.check/1', verdict, blockers, warnings, notes, findings });
  else {
    const counts = [
      countWords(blockers, 'blocker', 'blockers'),
      countWords(warnings, 'warning', 'warnings'),
      countWords(notes, 'note', 'notes'),
    ];
    const route = `${configuration.primary} to ${
      secondariesOf(configuration)
        .map((site) => site.name)
        .join(', ') || 'nobody'
    }`;
    const painted = paint(desk, [blockers > 0 ? 'red' : 'green', 'bold'], verdict);
    desk.out(`${painted}: ${route}, ${counts.join(', ')}\n`);
    for (const finding of findings) desk.out(paragraph(desk, finding));
  }
  return blockers > 0 ? 1 : 0;
}

async function configurationToCheck(session: Session, options: CheckOptions): Promise<Configuration> {
  const { from, to } = options;
  if (from === undefined) return configurationFor(session, options);
  if (to === undefined)
    throw new ChangeoverError('CLI_USAGE', 'One address is not enough: where would it be copied to?');
  return configurationFromUrls(from, to, { folder: session.desk.cwd });
}

export function paragraph(desk: Desk, { severity, site, check, message, cure }: Finding): string {
  const head = `\n${paint(desk, [...colours[severity]], severity)}  ${site}  ${check}\n  ${tame(message).replaceAll('\n', '\n  ')}\n`;
  return cure === undefined
    ? head
    : `${head}\n${tame(cure)
        .trimEnd()
        .replaceAll(/^(?=.)/gm, '    ')}\n`;
}
