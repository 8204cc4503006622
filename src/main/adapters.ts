import type { Broker, BrokerReader } from '../broker/broker.ts';
import { offset } from '../change/position.ts';
import { type Configuration, type Site, secondariesOf } from '../config/configuration.ts';
import { wanted } from '../config/tables.ts';
import { ChangeoverError } from '../error.ts';
import type { Source, SourceInspector } from '../source/source.ts';
import type { Target, TargetInspector } from '../target/target.ts';

/* Which adapter stands behind each port. The only file that names them; each is loaded when it is needed. */

const wantedOf =
  ({ tables }: Configuration) =>
  (table: { schema: string; name: string }): boolean =>
    wanted(tables, table);

export async function openSource(configuration: Configuration, { url }: Site): Promise<Source> {
  const { postgresSource } = await import('../source/postgres/open.ts');
  const { name, heartbeatMs, silenceMsMax } = configuration;
  return postgresSource({ url, name, heartbeatMs, silenceMsMax, wanted: wantedOf(configuration) });
}

export async function openTarget(configuration: Configuration, { url }: Site, signal: AbortSignal): Promise<Target> {
  const { openPostgresTarget } = await import('../target/postgres/open.ts');
  return openPostgresTarget({ url, name: configuration.name, silenceMsMax: configuration.silenceMsMax }, signal);
}

export async function openSourceInspector(configuration: Configuration, site: string): Promise<SourceInspector> {
  const { openSourceInspector: open } = await import('../source/postgres/inspect.ts');
  const { name, walBudgetBytes } = configuration;
  return open({ url: siteOf(configuration, site).url, name, walBudgetBytes, site, wanted: wantedOf(configuration) });
}

export async function openTargetInspector(configuration: Configuration, site: string): Promise<TargetInspector> {
  const { openTargetInspector: open } = await import('../target/postgres/inspect.ts');
  return open({ url: siteOf(configuration, site).url, name: configuration.name, site });
}

export const logFolder = ({ broker }: Configuration): string => broker.folder;

export async function openBroker({ broker }: Configuration, signal: AbortSignal): Promise<Broker> {
  const { openLogBroker } = await import('../broker/log/writer.ts');
  const { folder, retentionMs, retentionBytesMax } = broker;
  return openLogBroker({ folder, keepMs: retentionMs, keepBytes: retentionBytesMax }, signal);
}

/** Makes every secondary known to the log before it has applied anything: what one that was never up still needs must not be trimmed
 *  once the others have it. Only after the log was opened for writing. */
export async function enrolConsumers(configuration: Configuration, signal: AbortSignal): Promise<void> {
  const { consumersOf } = await import('../broker/log/retention.ts');
  const known = await consumersOf(logFolder(configuration));
  await using reader = await openReader(configuration, signal);
  for (const { name } of secondariesOf(configuration)) {
    if (!known.has(name)) await reader.release(name, offset(0));
  }
}

export async function openReader({ broker }: Configuration, signal: AbortSignal): Promise<BrokerReader> {
  const { openLogReader } = await import('../broker/log/reader.ts');
  return openLogReader({ folder: broker.folder }, signal);
}

/** Throws CLI_USAGE for a name that is no site. */
export function siteOf(configuration: Configuration, name: string): Site {
  const site = configuration.sites.find((one) => one.name === name);
  if (site) return site;
  const known = configuration.sites.map((one) => one.name).join(', ');
  throw new ChangeoverError('CLI_USAGE', `There is no site ${name}`, { hint: `The sites are: ${known}.` });
}
