import { tableName } from '../change/table.ts';
import { countWords } from '../control/words.ts';
import { repair as putRight, type Repaired } from '../verify/repair.ts';
import { outJson, paint, type Session, tame } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { configurationFor, numberIn, sitesMeant } from './lane.ts';
import { type RowsOptions, sidesOf, tablesMeant } from './sides.ts';
import { type Finding, sentenceOf, tableJson, verdictOf } from './verdicts.ts';
import { tableLines } from './verify.ts';

export interface RepairArguments extends RowsOptions {
  readonly dryRun?: true;
}

type Outcome = 'EQUAL' | 'REPAIRED' | 'WOULD REPAIR' | 'NOT REPAIRED';

interface Result extends Finding {
  readonly repaired: readonly Repaired[];
  readonly outcome: Outcome;
}

export async function repair(session: Session, options: RepairArguments): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const dryRun = options.dryRun === true;
  const timeoutMs = numberIn(options.timeout, { name: '--timeout', whole: false }) * 1000;
  const wanted = tablesMeant(options.table);
  const configuration = await configurationFor(session, options);
  const { primary } = configuration;
  const results: Result[] = [];
  for (const site of sitesMeant(configuration, options.site)) {
    const found = await putRight(sidesOf(house, configuration, site), { wanted, timeoutMs, dryRun }, signal);
    results.push({ site, ...found, outcome: outcomeOf(found, dryRun) });
  }
  if (options.json) {
    outJson(desk, {
      schema: 'changeover.repair/1',
      primary,
      dryRun,
      secondaries: results.map((result) => ({
        site: result.site,
        verdict: result.outcome,
        before: verdictOf(result.verdicts),
        tables: result.repaired.map(({ before, after }) => ({
          before: tableJson(before, false),
          after: after === undefined ? null : tableJson(after, false),
        })),
      })),
    });
  } else
    for (const result of results) {
      const { outcome, repaired, site } = result;
      const colour = outcome === 'EQUAL' || outcome === 'REPAIRED' ? 'green' : 'red';
      desk.out(`${paint(desk, [colour, 'bold'], outcome)}: ${wordsOf(primary, result)}\n`);
      if (repaired.length > 0) desk.out(`\n  ${site} before:\n`);
      for (const { before } of repaired) desk.out(tableLines(before, false));
      const left = repaired.flatMap(({ after }) => (after === undefined || after.verdict === 'equal' ? [] : [after]));
      if (left.length > 0) desk.out(`\n  ${site} after:\n`);
      for (const after of left) desk.out(tableLines(after, false));
    }
  return results.every(({ outcome }) => outcome === 'EQUAL' || outcome === 'REPAIRED') ? 0 : 1;
}

function outcomeOf({ verdicts, repaired }: Pick<Result, 'verdicts' | 'repaired'>, dryRun: boolean): Outcome {
  if (verdictOf(verdicts) === 'EQUAL') return 'EQUAL';
  if (dryRun && verdictOf(verdicts) === 'DIFFERS') return 'WOULD REPAIR';
  return repaired.length > 0 && repaired.every(({ after }) => after?.verdict === 'equal') ? 'REPAIRED' : 'NOT REPAIRED';
}

function wordsOf(primary: string, result: Result): string {
  if (result.outcome !== 'REPAIRED') return sentenceOf(primary, result, Date.now());
  const { repaired, site } = result;
  const tables = repaired.map(({ before }) => tame(tableName(before.carried.table))).join(', ');
  const position = repaired.at(-1)?.after?.position.token ?? '';
  return `${countWords(repaired.length, 'table', 'tables')} of ${site} (${tables}) put right, compared again and equal as of ${position}`;
}
