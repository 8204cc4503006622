import type { ProfileTable } from '../change/profile.ts';
import type { Configuration } from '../config/configuration.ts';
import { isPattern, patternForm, wanted } from '../config/tables.ts';
import { ChangeoverError } from '../error.ts';
import type { SourceInspector } from '../source/source.ts';
import type { Sides } from '../verify/sides.ts';
import type { House } from './house.ts';
import { type ConfiguredOptions, laneOf } from './lane.ts';

/** Options of every command that compares rows. */
export interface RowsOptions extends ConfiguredOptions {
  readonly table?: readonly string[];
  readonly site?: string;
  readonly timeout: string;
}

export function sidesOf(house: House, configuration: Configuration, site: string): Sides {
  const { primary, source, log, target } = laneOf(house, configuration);
  return { primary, site, source, log, target: (signal) => target(site, signal) };
}

/** Whether a table is meant by one of the patterns; without any, each is. Throws CLI_USAGE. */
export function tablesMeant(
  patterns: readonly string[] | undefined,
): (table: { readonly schema: string; readonly name: string }) => boolean {
  const wrong = patterns?.find((pattern) => !isPattern(pattern));
  if (wrong !== undefined)
    throw new ChangeoverError('CLI_USAGE', `"${wrong}" names no tables`, { hint: `It should be ${patternForm}.` });
  if (patterns === undefined) return () => true;
  const rules = [{ match: '*', leaveOut: true }, ...patterns.map((match) => ({ match, leaveOut: false }))];
  return (table) => wanted(rules, table);
}

/** The tables that a name or a pattern means, of those that are carried. Throws CLI_USAGE where there is none. */
export async function tablesCarried(
  source: SourceInspector,
  pattern: string,
  signal: AbortSignal,
): Promise<readonly ProfileTable[]> {
  const isMeant = tablesMeant([pattern]);
  const tables = (await source.profile(signal)).tables.filter(isMeant);
  if (tables.length > 0) return tables;
  throw new ChangeoverError('CLI_USAGE', `No table that is carried is called "${pattern}"`, {
    hint: 'Name it as schema.table; a table that the configuration leaves out is not carried.',
  });
}
