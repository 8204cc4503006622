import { tableName } from '../change/table.ts';
import { countWords } from '../control/words.ts';
import { unreachable } from '../error.ts';
import type { Bridged } from '../verify/bridge.ts';
import type { Resynced } from '../verify/resync.ts';
import { aligned, outJson, paint, type Session, tame } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { type ConfiguredOptions, configurationFor } from './lane.ts';

export interface ResyncArguments extends ConfiguredOptions {
  readonly dryRun?: true;
}

type Verdict = 'RESYNCED' | 'WOULD RESYNC' | 'NOT EQUAL';

export async function resync(session: Session, options: ResyncArguments): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const configuration = await configurationFor(session, options);
  const { primary } = configuration;
  const onTable = (one: Bridged): void => {
    if (!options.json) desk.out(`  ${tame(tableName(one.table))}: ${wordsOf(one)}\n`);
  };
  const done = await house.resync(configuration, { dryRun: options.dryRun === true, onTable }, signal);
  const { why, from, to, tables, proof } = done;
  const verdict = verdictOf(done);
  if (options.json)
    outJson(desk, {
      schema: 'changeover.resync/1',
      verdict,
      primary,
      why,
      from: from.token,
      to: to.token,
      tables: tables.map(({ table, how, rows }) => ({ table: tableName(table), how, rows })),
      secondaries: (proof ?? []).map(({ site, equal, rows, different, notChecked }) => ({
        site,
        equal,
        rows,
        different,
        notChecked,
      })),
    });
  else {
    const colour = verdict === 'RESYNCED' ? 'green' : verdict === 'NOT EQUAL' ? 'red' : 'yellow';
    desk.out(`\n${paint(desk, [colour, 'bold'], verdict)}: ${tame(sentenceOf(primary, done))}\n\n`);
    desk.out(aligned([['why', tame(why)], ...(proof ?? []).map(proofRow)]));
    if (proof) desk.out('\n  Go on: changeover run, or changeover replicate.\n');
  }
  return verdict === 'RESYNCED' ? 0 : 1;
}

function verdictOf({ proof }: Resynced): Verdict {
  if (!proof) return 'WOULD RESYNC';
  return proof.every(({ different }) => different.length === 0) ? 'RESYNCED' : 'NOT EQUAL';
}

function wordsOf({ how, rows }: Bridged): string {
  switch (how) {
    case 'equal':
      return 'equal';
    case 'rows':
      return countWords(rows, 'row differs', 'rows differ');
    case 'table':
      return `all of it, ${countWords(rows, 'row', 'rows')}`;
    case 'set aside':
      return 'set aside, not compared';
    default:
      return unreachable(how);
  }
}

function sentenceOf(primary: string, { from, to, tables }: Resynced): string {
  const changed = tables.filter(({ how }) => how === 'rows' || how === 'table');
  const rows = changed.reduce((sum, one) => sum + one.rows, 0);
  const of = `${countWords(rows, 'row', 'rows')} of ${countWords(changed.length, 'table', 'tables')}`;
  return `${of} lead from ${from.token} to ${to.token} of ${primary}; ${tables.length - changed.length} of ${tables.length} tables needed nothing`;
}

function proofRow({
  site,
  equal,
  rows,
  different,
  notChecked,
}: NonNullable<Resynced['proof']>[number]): readonly string[] {
  const not = notChecked.length > 0 ? `; not compared: ${notChecked.map(tame).join(', ')}` : '';
  const wrong = different.length > 0 ? `; DIFFERENT: ${different.map(tame).join(', ')}` : '';
  return [
    site,
    `compared there: ${countWords(equal, 'table', 'tables')} equal, ${countWords(rows, 'row', 'rows')}${wrong}${not}`,
  ];
}
