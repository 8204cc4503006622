import { type Configuration, secondariesOf } from '../config/configuration.ts';
import { renderConfiguration, renderedConfiguration } from '../config/render.ts';
import type { Role } from '../control/agents.ts';
import { ChangeoverError } from '../error.ts';
import { outJson, type Session, tame } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { asItStands, type ConfiguredOptions, configurationFor, sitesMeant } from './lane.ts';

export interface RunArguments extends ConfiguredOptions {
  readonly roles: readonly Role[];
  readonly site?: string;
  readonly restart?: true;
  readonly standby?: true;
  readonly printConfig?: true;
}

export async function run(session: Session, options: RunArguments): Promise<ExitCode> {
  if (options.restart && options.standby)
    throw new ChangeoverError('CLI_USAGE', '--restart and --standby do not go together', {
      hint: 'Who stands by would give up the copy of whoever worked before. Start over with --restart alone; then let another one stand by.',
    });
  const configuration = await configurationFor(session, options);
  if (options.printConfig) {
    if (options.json)
      outJson(session.desk, { schema: 'changeover.config/1', configuration: renderedConfiguration(configuration) });
    else session.desk.out(renderConfiguration(configuration));
    return 0;
  }
  return work(session, configuration, options);
}

/** Runs the roles until the user stops them. The first line says what is being done. */
export async function work(
  { house, desk, signal }: Session,
  plan: Configuration,
  { roles, site, restart, standby, json }: Omit<RunArguments, 'config'>,
): Promise<ExitCode> {
  const standing = await asItStands(plan);
  // A new copy brings everybody back.
  const configuration = restart ? { ...standing, stranded: [] } : standing;
  const report = (line: string): void => {
    if (json) outJson(desk, { schema: 'changeover.report/1', at: new Date().toISOString(), line });
    else desk.out(`${new Date().toISOString()} ${tame(line)}\n`);
  };
  const sites = sitesMeant(configuration, site);
  const all = secondariesOf(configuration).length;
  report(
    `${configuration.name}: ${roles.join(' and ')} from ${configuration.primary} to ${sites.join(', ') || 'nobody'}${
      sites.length < all ? ' only' : ''
    }; state in ${configuration.folder}`,
  );
  await house.run(
    configuration,
    { roles, restart: restart === true, standby: standby === true, report, ...(site !== undefined && { site }) },
    signal,
  );
  report('stopped; run it again to go on');
  return 0;
}
