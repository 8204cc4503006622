import { tableName } from '../change/table.ts';
import { ChangeoverError } from '../error.ts';
import { outJson, paint, type Session, tame } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { type ConfiguredOptions, configurationFor, laneOf, sitesMeant } from './lane.ts';
import { tablesCarried } from './sides.ts';

export interface SetAsideArguments extends ConfiguredOptions {
  readonly site?: string;
}

export async function setAside(session: Session, pattern: string, options: SetAsideArguments): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const configuration = await configurationFor(session, options);
  const lane = laneOf(house, configuration);
  await using source = await lane.source(signal);
  const tables = await tablesCarried(source, pattern, signal);
  await using log = await lane.log(signal);
  const { end: since } = await log.observe();
  if (since === undefined)
    throw new ChangeoverError('CLI_REFUSED', 'The first copy is not in the log yet', {
      hint: 'To leave a table out of it, say so in the configuration.',
    });
  const sites = sitesMeant(configuration, options.site);
  for (const site of sites) {
    await using target = await lane.target(site, signal);
    for (const { schema, name } of tables) await target.setAside({ table: { schema, name }, since }, signal);
  }
  const names = tables.map((table) => tableName(table));
  if (options.json) {
    outJson(desk, { schema: 'changeover.set-aside/1', verdict: 'SET ASIDE', tables: names, sites, since: since.token });
    return 0;
  }
  const verdict = paint(desk, ['yellow', 'bold'], 'SET ASIDE');
  desk.out(`${verdict}: ${names.map(tame).join(', ')}; ${sites.join(', ')} goes on without, and status says so\n`);
  desk.out(`
  Start the lane again: changeover run, or changeover replicate. When the cause is mended:
  changeover snapshot ${tame(pattern)}
`);
  return 0;
}
