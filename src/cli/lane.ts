import { type Configuration, secondariesOf } from '../config/configuration.ts';
import { findConfiguration } from '../config/find.ts';
import type { Lane } from '../control/lane.ts';
import { keptStanding } from '../control/standing.ts';
import { ChangeoverError } from '../error.ts';
import type { Session } from './desk.ts';
import type { House } from './house.ts';

/** Options that every command has which works on a configuration. */
export interface ConfiguredOptions {
  readonly config?: string;
  readonly json?: true;
}

export const configurationFor = async ({ desk }: Session, { config }: ConfiguredOptions): Promise<Configuration> =>
  asItStands(await findConfiguration({ file: config, cwd: desk.cwd, env: desk.env }));

/** With who leads now, where the journal has said so. */
export async function asItStands(configuration: Configuration): Promise<Configuration> {
  const kept = await keptStanding(configuration.folder);
  if (!kept || !configuration.sites.some(({ name }) => name === kept.standing.leader)) return configuration;
  const { leader, stranded } = kept.standing;
  return { ...configuration, primary: leader, stranded };
}

/** The lane of a configuration, reached through the house. */
export const laneOf = (house: House, configuration: Configuration): Lane => ({
  name: configuration.name,
  folder: configuration.folder,
  primary: configuration.primary,
  secondaries: secondariesOf(configuration).map((site) => site.name),
  limits: { lagMsMax: configuration.lagMsMax, walBudgetBytes: configuration.walBudgetBytes },
  source: (signal) => house.sourceInspector(configuration, configuration.primary, signal),
  broker: (signal) => house.brokerInspector(configuration, signal),
  log: (signal) => house.logReader(configuration, signal),
  target: (site, signal) => house.targetInspector(configuration, site, signal),
});

/** The secondaries that a `--site` means: that one, or all. Throws CLI_USAGE. */
export function sitesMeant(configuration: Configuration, site: string | undefined): readonly string[] {
  const names = secondariesOf(configuration).map(({ name }) => name);
  if (site === undefined) return names;
  if (names.includes(site)) return [site];
  const what = site === configuration.primary ? 'is the primary' : 'is no site of this configuration';
  throw new ChangeoverError('CLI_USAGE', `${site} ${what}; --site takes one of ${names.join(', ')}`);
}

/** A number of the command line. Throws CLI_USAGE. */
export function numberIn(
  text: string,
  { name, least = 0, whole = true }: { readonly name: string; readonly least?: number; readonly whole?: boolean },
): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && (whole ? Number.isSafeInteger(value) : Number.isFinite(value))) return value;
  throw new ChangeoverError(
    'CLI_USAGE',
    `${name} must be a ${whole ? 'whole ' : ''}number from ${least} on, not "${text}"`,
  );
}
