import { createHmac } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Broker, BrokerInspector, BrokerReader } from '../broker/broker.ts';
import type { CarriedReader } from '../broker/carried-reader.ts';
import { offset } from '../change/position.ts';
import type { LogFinding } from '../cli/house.ts';
import { type BrokerPlan, type Configuration, type Site, secondariesOf } from '../config/configuration.ts';
import { excerptOf, excerptsText, wanted } from '../config/tables.ts';
import { ChangeoverError, unreachable } from '../error.ts';
import type { Helm } from '../helm/helm.ts';
import type { Source, SourceInspector } from '../source/source.ts';
import type { Target, TargetInspector } from '../target/target.ts';
import { checkSeal, entryOpening, sealedBroker, sealedReader } from './seal.ts';

/* Which adapter stands behind each port. The only file that names them; each is loaded when it is needed. */

/** What the agents of a process, and its coordinator, open. */
export interface Adapters {
  readonly openSource: typeof openSource;
  readonly openTarget: typeof openTarget;
  readonly openSourceInspector: typeof openSourceInspector;
  readonly openTargetInspector: typeof openTargetInspector;
  readonly openHelm: typeof openHelm;
  readonly openBroker: typeof openBroker;
  readonly openReader: typeof openReader;
}

const wantedOf =
  ({ tables }: Configuration) =>
  (table: { schema: string; name: string }): boolean =>
    wanted(tables, table);

/** The key is part of the fingerprint and cannot be found out from it: it is what the hash is made with. */
function excerptsOf({ tables, maskKey }: Configuration) {
  const text = excerptsText(tables);
  if (text === undefined) return undefined;
  const fingerprint = createHmac('sha256', maskKey ?? '')
    .update(text)
    .digest('hex');
  return { of: (table: { schema: string; name: string }) => excerptOf(tables, table), key: maskKey, fingerprint };
}

export async function openSource(configuration: Configuration, { url }: Site): Promise<Source> {
  const { postgresSource } = await import('../source/postgres/open.ts');
  const { name, heartbeatMs, silenceMsMax, folder } = configuration;
  return postgresSource({
    url,
    name,
    heartbeatMs,
    silenceMsMax,
    wanted: wantedOf(configuration),
    excerpts: excerptsOf(configuration),
    spillFolder: join(folder, 'spill'),
  });
}

export async function openTarget(configuration: Configuration, { url }: Site, signal: AbortSignal): Promise<Target> {
  const { openPostgresTarget } = await import('../target/postgres/open.ts');
  return openPostgresTarget({ url, name: configuration.name, silenceMsMax: configuration.silenceMsMax }, signal);
}

export async function openSourceInspector(configuration: Configuration, site: string): Promise<SourceInspector> {
  const { openSourceInspector: open } = await import('../source/postgres/inspect.ts');
  const { name, walBudgetBytes } = configuration;
  return open({
    url: siteOf(configuration, site).url,
    name,
    walBudgetBytes,
    site,
    wanted: wantedOf(configuration),
    excerpts: excerptsOf(configuration),
  });
}

export async function openTargetInspector(configuration: Configuration, site: string): Promise<TargetInspector> {
  const { openTargetInspector: open } = await import('../target/postgres/inspect.ts');
  return open({ url: siteOf(configuration, site).url, name: configuration.name, site });
}

export async function openHelm(
  configuration: Configuration,
  { site, side }: { readonly site: string; readonly side: 'primary' | 'secondary' },
): Promise<Helm> {
  const { openHelm: open } = await import('../helm/postgres/open.ts');
  const { url, canary } = siteOf(configuration, site);
  return open({ url, canary, side: side === 'primary' ? 'SOURCE' : 'TARGET', wanted: wantedOf(configuration) });
}

/** Makes every secondary known to the broker before it has applied anything: what one that was never up still needs must not be
 *  trimmed once the others have it. */
export async function openBroker(configuration: Configuration, signal: AbortSignal): Promise<Broker> {
  const { broker } = configuration;
  if (broker.kind === 'log') {
    const { openLogBroker } = await import('../broker/log/writer.ts');
    const { folder, retentionMs, retentionBytesMax } = broker;
    await using opened = new AsyncDisposableStack();
    const log = await openLogBroker({ folder, keepMs: retentionMs, keepBytes: retentionBytesMax }, signal);
    opened.use(log);
    await enrolInLog(configuration, folder, signal);
    opened.move();
    return sealedBroker(configuration, { broker: log, openReader: (inner) => openCarrying(broker, inner) }, signal);
  }
  const { ReopeningBroker } = await import('../broker/reopening.ts');
  return new ReopeningBroker(async (signal) => {
    await using opened = new AsyncDisposableStack();
    const writer = opened.use(await openRemoteBroker(broker, signal));
    await using reader = await openRemoteReader(broker, signal);
    for (const { name } of secondariesOf(configuration)) await reader.enrol(name);
    opened.move();
    return sealedBroker(
      configuration,
      { broker: writer, openReader: (inner) => openRemoteReader(broker, inner) },
      signal,
    );
  }, signal);
}

async function enrolInLog(configuration: Configuration, folder: string, signal: AbortSignal): Promise<void> {
  const { consumersOf } = await import('../broker/log/retention.ts');
  const known = await consumersOf(folder);
  await using reader = await openCarrying(configuration.broker, signal);
  for (const { name } of secondariesOf(configuration)) {
    if (!known.has(name)) await reader.release(name, offset(0));
  }
}

type RemotePlan = Exclude<BrokerPlan, { readonly kind: 'log' }>;

async function openRemoteBroker(plan: RemotePlan, signal: AbortSignal): Promise<Broker> {
  switch (plan.kind) {
    case 'nats':
      return (await import('../broker/nats/carrier.ts')).openNatsBroker(plan, signal);
    case 'kafka':
      return (await import('../broker/kafka/carrier.ts')).openKafkaBroker(plan, signal);
    case 'rabbitmq': {
      const { openRabbitBroker } = await import('../broker/rabbitmq/carrier.ts');
      return openRabbitBroker({ ...plan, keepMs: plan.retentionMs }, signal);
    }
    default:
      return unreachable(plan);
  }
}

async function openRemoteReader(plan: RemotePlan, signal: AbortSignal): Promise<CarriedReader> {
  switch (plan.kind) {
    case 'nats':
      return (await import('../broker/nats/carrier.ts')).openNatsReader(plan, signal);
    case 'kafka':
      return (await import('../broker/kafka/carrier.ts')).openKafkaReader(plan, signal);
    case 'rabbitmq':
      return (await import('../broker/rabbitmq/carrier.ts')).openRabbitReader(plan, signal);
    default:
      return unreachable(plan);
  }
}

export async function openReader(configuration: Configuration, signal: AbortSignal): Promise<BrokerReader> {
  return sealedReader(configuration, await openCarrying(configuration.broker, signal));
}

/** What the broker holds, sealed or not. */
async function openCarrying(broker: BrokerPlan, signal: AbortSignal): Promise<BrokerReader> {
  if (broker.kind !== 'log') return openRemoteReader(broker, signal);
  const { openLogReader } = await import('../broker/log/reader.ts');
  return openLogReader({ folder: broker.folder }, signal);
}

export async function openBrokerInspector(configuration: Configuration): Promise<BrokerInspector> {
  const inspector = await openServerInspector(configuration.broker);
  return {
    check: async (signal) => [...(await inspector.check(signal)), ...(await checkSeal(configuration, signal))],
    forget: (signal) => inspector.forget(signal),
    [Symbol.asyncDispose]: () => inspector[Symbol.asyncDispose](),
  };
}

async function openServerInspector(broker: BrokerPlan): Promise<BrokerInspector> {
  switch (broker.kind) {
    case 'nats':
      return (await import('../broker/nats/inspect.ts')).openNatsInspector({ ...broker, keepMs: broker.retentionMs });
    case 'kafka':
      return (await import('../broker/kafka/inspect.ts')).openKafkaInspector({ ...broker, keepMs: broker.retentionMs });
    case 'rabbitmq': {
      const { openRabbitInspector } = await import('../broker/rabbitmq/inspect.ts');
      return openRabbitInspector({ ...broker, keepMs: broker.retentionMs });
    }
    case 'log':
      break;
    default:
      return unreachable(broker);
  }
  const { folder } = broker;
  return {
    check: async () => [],
    forget: () => rm(folder, { recursive: true, force: true }),
    async [Symbol.asyncDispose]() {},
  };
}

export async function* verifyBroker(configuration: Configuration, signal: AbortSignal): AsyncIterable<LogFinding> {
  const { broker } = configuration;
  if (broker.kind === 'log') {
    const { verifyLog } = await import('../broker/log/verify.ts');
    yield* verifyLog({ folder: broker.folder, opening: (stream) => entryOpening(configuration, stream) }, signal);
    return;
  }
  const { verifyCarried } = await import('../broker/carried-verify.ts');
  await using reader = await openReader(configuration, signal);
  yield* verifyCarried(reader, signal);
}

/** Throws CLI_USAGE for a name that is no site. */
export function siteOf(configuration: Configuration, name: string): Site {
  const site = configuration.sites.find((one) => one.name === name);
  if (site) return site;
  const known = configuration.sites.map((one) => one.name).join(', ');
  throw new ChangeoverError('CLI_USAGE', `There is no site ${name}`, { hint: `The sites are: ${known}.` });
}
