import type { Change } from '../change/change.ts';
import { epoch, type Offset } from '../change/position.ts';
import { tableName } from '../change/table.ts';
import type { Configuration } from '../config/configuration.ts';
import { collect, endBefore, isWhole, type Orphan, orphansIn } from '../control/orphans.ts';
import { keptStanding } from '../control/standing.ts';
import { countWords } from '../control/words.ts';
import { ChangeoverError } from '../error.ts';
import { aligned, outJson, paint, type Session } from './desk.ts';
import type { ExitCode } from './failure.ts';
import type { Ledger } from './house.ts';
import { type ConfiguredOptions, configurationFor } from './lane.ts';
import { timeOf } from './log.ts';
import { line, shown } from './log-show.ts';

export interface OrphansCollectArguments extends ConfiguredOptions {
  readonly dryRun?: true;
}

export async function orphansCollect(session: Session, options: OrphansCollectArguments): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const configuration = await configurationFor(session, options);
  const { ledger, beginning } = await stranded(configuration);
  const { site } = ledger;
  await using log = await house.logReader(configuration, signal);
  const from = await endBefore(log, beginning, signal);
  const schema = 'changeover.orphans.collect/1';
  if (options.dryRun) {
    if (options.json)
      outJson(desk, { schema, verdict: 'NOTHING DONE', site, from: from.token, upTo: null, fenced: [], orphans: null });
    else desk.out(`NOTHING DONE: ${site} would be shut to writers, and read from ${from.token} on\n`);
    return 0;
  }
  // First of all: who is let in there now writes what no one will ever see.
  await using helm = await house.helm(configuration, { site, side: 'secondary' }, signal);
  const { roles } = await helm.shut(signal);
  await using inspector = await house.sourceInspector(configuration, site, signal);
  const upTo = await inspector.mark(signal);
  await using source = await house.source(configuration, site);
  {
    await using writer = await house.openLedger(configuration, ledger, signal);
    await collect({ source, ledger: writer, epoch: epoch(ledger.epoch), from, upTo }, signal);
  }
  let orphans = 0;
  for await (const _ of kept(session, { configuration, ledger })) orphans += 1;
  const said = { site, from: from.token, upTo: upTo.token, fenced: roles, orphans };
  if (options.json) outJson(desk, { schema, verdict: 'COLLECTED', ...said });
  else {
    const count = countWords(orphans, 'transaction', 'transactions');
    desk.out(`${paint(desk, ['green', 'bold'], 'COLLECTED')}: ${count} of ${site} beyond ${from.token}\n\n`);
    desk.out(`  ${site} is shut to ${countWords(roles.length, 'role', 'roles')}, and keeps what it has\n`);
  }
  return 0;
}

export async function orphansList(session: Session, options: ConfiguredOptions): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const configuration = await configurationFor(session, options);
  const rows = [];
  const cutOff: string[] = [];
  for (const ledger of await found(session, configuration)) {
    for await (const orphan of kept(session, { configuration, ledger })) rows.push(summary(ledger, orphan));
    await using reader = await house.ledgerReader(configuration, ledger, signal);
    if (!(await isWhole(reader, signal))) cutOff.push(ledger.site);
  }
  const whole = cutOff.length === 0;
  if (options.json) outJson(desk, { schema: 'changeover.orphans.ls/1', whole, orphans: rows });
  else {
    const verdict = paint(desk, 'bold', countWords(rows.length, 'orphan', 'orphans'));
    const rest = whole
      ? ''
      : `; reading ${cutOff.join(', ')} was cut off, there may be more: changeover orphans collect`;
    desk.out(`${verdict}${rest}\n\n`);
    desk.out(
      aligned(
        rows.map(({ transaction, site, committedAt, changes, tables }) => [
          transaction,
          site,
          committedAt ?? '',
          countWords(changes, 'change', 'changes'),
          tables.join(', '),
        ]),
      ),
    );
  }
  return whole ? 0 : 1;
}

export async function orphansShow(
  session: Session,
  transaction: string,
  options: ConfiguredOptions,
): Promise<ExitCode> {
  const { desk } = session;
  const configuration = await configurationFor(session, options);
  let isFound = false;
  // A number of a transaction is of one site's: two ledgers may both have it.
  for (const ledger of await found(session, configuration)) {
    for await (const orphan of kept(session, { configuration, ledger })) {
      if (String(orphan.transaction) !== transaction) continue;
      isFound = true;
      if (options.json) outJson(desk, inFull(ledger, orphan));
      else {
        const { position, committedAtUs, changes } = orphan;
        const head = paint(desk, 'bold', `transaction ${transaction}`);
        desk.out(`${head} of ${ledger.site}: at ${position.token}, ${timeOf(committedAtUs)}\n\n`);
        for (const change of changes.flatMap(shown)) desk.out(line(desk, change));
      }
    }
  }
  if (isFound) return 0;
  throw new ChangeoverError('CLI_NOTHING_HERE', `There is no transaction ${transaction} in the ledger`, {
    hint: 'See which there are: changeover orphans ls',
  });
}

export async function orphansExport(session: Session, options: ConfiguredOptions): Promise<ExitCode> {
  const configuration = await configurationFor(session, options);
  for (const ledger of await found(session, configuration))
    for await (const orphan of kept(session, { configuration, ledger })) outJson(session.desk, inFull(ledger, orphan));
  return 0;
}

interface Kept {
  readonly configuration: Configuration;
  readonly ledger: Ledger;
}

async function* kept({ house, signal }: Session, { configuration, ledger }: Kept): AsyncGenerator<Orphan> {
  await using reader = await house.ledgerReader(configuration, ledger, signal);
  yield* orphansIn(reader, signal);
}

/** Throws CLI_NOTHING_HERE where nothing was ever read: that is not the same as nothing lost (invariant 12). */
async function found({ house }: Session, configuration: Configuration): Promise<readonly Ledger[]> {
  const ledgers = await house.ledgers(configuration);
  if (ledgers.length > 0) return ledgers;
  throw new ChangeoverError('CLI_NOTHING_HERE', 'No old primary was read yet', {
    hint: 'After a failover, once the old primary is back: changeover orphans collect',
  });
}

/** The site that the last failover left behind. Throws CONTROL_REFUSED. */
async function stranded({ folder }: Configuration): Promise<{ ledger: Ledger; beginning: Offset }> {
  const told = await keptStanding(folder);
  const [site] = told?.standing.stranded ?? [];
  const beginning = told?.standing.beginning;
  if (!told || site === undefined || !beginning)
    throw new ChangeoverError('CONTROL_REFUSED', 'No failover left a site behind');
  const ledger = { site, stream: told.stream, epoch: told.standing.epoch - 1 };
  return { ledger, beginning: beginning.offset };
}

const summary = ({ site }: Ledger, { transaction, position, committedAtUs, changes }: Orphan) => ({
  transaction: String(transaction),
  site,
  position: position.token,
  committedAt: timeOf(committedAtUs),
  changes: changes.length,
  tables: [...new Set(changes.flatMap(tablesOf))],
});

const inFull = (ledger: Ledger, orphan: Orphan) => {
  const { transaction, site, position, committedAt } = summary(ledger, orphan);
  const changes = orphan.changes.flatMap(shown);
  return { schema: 'changeover.orphans.show/1', transaction, site, position, committedAt, changes };
};

const tablesOf = (change: Change): readonly string[] =>
  'table' in change ? [tableName(change.table)] : change.kind === 'truncate' ? change.tables.map(tableName) : [];
