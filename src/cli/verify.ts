import { tableName } from '../change/table.ts';
import { verify as compare, type TableVerdict } from '../verify/verify.ts';
import { aligned, type Desk, outJson, paint, type Session, tame } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { configurationFor, numberIn, sitesMeant } from './lane.ts';
import { type RowsOptions, sidesOf, tablesMeant } from './sides.ts';
import { type Finding, namedRows, sentenceOf, tableJson, tableWords, type Verdict, verdictOf } from './verdicts.ts';

export interface VerifyArguments extends RowsOptions {
  readonly values?: true;
}

export async function verify(session: Session, options: VerifyArguments): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const timeoutMs = numberIn(options.timeout, { name: '--timeout', whole: false }) * 1000;
  const wanted = tablesMeant(options.table);
  const configuration = await configurationFor(session, options);
  const { primary } = configuration;
  const findings: Finding[] = [];
  for (const site of sitesMeant(configuration, options.site)) {
    const verdicts: TableVerdict[] = [];
    for await (const one of compare(sidesOf(house, configuration, site), { wanted, timeoutMs }, signal))
      verdicts.push(one);
    findings.push({ site, verdicts });
  }
  const verdict = verdictOf(findings.flatMap(({ verdicts }) => (verdicts.length > 0 ? verdicts : [])));
  const nowMs = Date.now();
  if (options.json)
    outJson(desk, {
      schema: 'changeover.verify/1',
      verdict,
      primary,
      at: new Date(nowMs).toISOString(),
      secondaries: findings.map((finding) => ({
        site: finding.site,
        verdict: verdictOf(finding.verdicts),
        sentence: sentenceOf(primary, finding, nowMs),
        carried: finding.verdicts[0]?.of ?? null,
        tables: finding.verdicts.map((one) => tableJson(one, options.values === true)),
      })),
    });
  else for (const finding of findings) tellFinding(desk, { primary, finding, values: options.values === true });
  return verdict === 'EQUAL' ? 0 : 1;
}

const colours = { EQUAL: 'green', DIFFERS: 'red', 'NOT CHECKED': 'yellow' } as const satisfies Record<Verdict, string>;

export interface Telling {
  readonly primary: string;
  readonly finding: Finding;
  readonly values: boolean;
}

/** The verdict, what is not equal, and what nobody looked at. */
function tellFinding(desk: Desk, { primary, finding, values }: Telling): void {
  const verdict = verdictOf(finding.verdicts);
  desk.out(`${paint(desk, [colours[verdict], 'bold'], verdict)}: ${sentenceOf(primary, finding, Date.now())}\n`);
  const wrong = finding.verdicts.filter((one) => one.verdict !== 'equal');
  if (wrong.length > 0) desk.out('\n');
  for (const one of wrong) desk.out(tableLines(one, values));
  desk.out('\n  rests on  every row of these tables; not on sequences, views, privileges and large objects\n');
}

export function tableLines(verdict: TableVerdict, values: boolean): string {
  const head = `  ${tame(tableName(verdict.carried.table))}: ${tableWords(verdict)}\n`;
  const rows = namedRows(verdict, values).map(({ kind, key, rows, columns, primary, secondary }) => [
    kind,
    Object.keys(key).length === 0 ? `${rows} without a key` : tame(JSON.stringify(key)),
    columns.map(tame).join(', '),
    ...(primary && secondary ? [`${tame(JSON.stringify(primary))} -> ${tame(JSON.stringify(secondary))}`] : []),
  ]);
  return `${head}${aligned(rows, '    ')}`;
}
