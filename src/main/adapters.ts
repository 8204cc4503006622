import type { Broker, BrokerReader } from '../broker/broker.ts';
import type { Configuration, Site } from '../config/configuration.ts';
import { wanted } from '../config/tables.ts';
import type { Source } from '../source/source.ts';
import type { Target } from '../target/target.ts';

/* Which adapter stands behind each port. The only file that names them; each is loaded when it is needed. */

const wantedOf =
  ({ tables }: Configuration) =>
  (table: { schema: string; name: string }): boolean =>
    wanted(tables, table);

export async function openSource(configuration: Configuration, { url }: Site): Promise<Source> {
  const { postgresSource } = await import('../source/postgres/open.ts');
  const { name, heartbeatMs } = configuration;
  return postgresSource({ url, name, heartbeatMs, wanted: wantedOf(configuration) });
}

export async function openTarget(configuration: Configuration, { url }: Site, signal: AbortSignal): Promise<Target> {
  const { openPostgresTarget } = await import('../target/postgres/open.ts');
  return openPostgresTarget({ url, name: configuration.name }, signal);
}

export async function openBroker({ broker }: Configuration, signal: AbortSignal): Promise<Broker> {
  const { openLogBroker } = await import('../broker/log/writer.ts');
  const { folder, retentionMs, retentionBytesMax } = broker;
  return openLogBroker({ folder, keepMs: retentionMs, keepBytes: retentionBytesMax }, signal);
}

export async function openReader({ broker }: Configuration, signal: AbortSignal): Promise<BrokerReader> {
  const { openLogReader } = await import('../broker/log/reader.ts');
  return openLogReader({ folder: broker.folder }, signal);
}
