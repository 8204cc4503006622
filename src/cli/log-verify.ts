import { bytesWords, countWords } from '../control/words.ts';
import { ChangeoverError } from '../error.ts';
import { outJson, paint, type Session, tame } from './desk.ts';
import type { ExitCode } from './failure.ts';
import type { LogCounts } from './house.ts';
import { type ConfiguredOptions, configurationFor } from './lane.ts';

export async function logVerify(session: Session, options: ConfiguredOptions): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const configuration = await configurationFor(session, options);
  const showsProgress = desk.isTerminal && !options.json;
  for await (const finding of house.verifyLog(configuration, signal)) {
    if (finding.kind === 'segment') {
      if (showsProgress) desk.out(`\r  ${countsWords(finding.total)} are right so far`);
      continue;
    }
    if (showsProgress) desk.out('\r\u001b[K');
    const { total } = finding;
    if (finding.kind === 'whole') {
      const end = finding.state.end?.token;
      if (options.json) outJson(desk, { schema, verdict: 'WHOLE', ...total, end: end ?? null, broken: null });
      else
        desk.out(
          `${paint(desk, ['green', 'bold'], 'WHOLE')}: ${countsWords(total)}, up to ${end ?? 'an unfinished copy'}\n`,
        );
      return 0;
    }
    const { segment, offset, position, why } = finding;
    if (options.json)
      outJson(desk, { schema, verdict: 'BROKEN', ...total, end: null, broken: { segment, offset, position, why } });
    else {
      desk.out(`${paint(desk, ['red', 'bold'], 'BROKEN')}: entry ${offset}: ${tame(why)}\n\n`);
      desk.out(
        `  at byte ${position} of the segment that begins with entry ${segment}; before it ${countsWords(total)} are right\n`,
      );
    }
    return 1;
  }
  throw new ChangeoverError('ASSERTION', 'The verification ended without a finding');
}

const schema = 'changeover.log.verify/1';

const countsWords = ({ entries, segments, bytes }: LogCounts): string =>
  `${countWords(entries, 'entry', 'entries')} in ${countWords(segments, 'segment', 'segments')}, ${bytesWords(bytes)},`.replace(
    /,$/,
    '',
  );
