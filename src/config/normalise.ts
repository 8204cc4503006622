import { join, resolve } from 'node:path';
import type { TlsPlan } from '../tls.ts';
import { hasPassword, saysTls, withPassword, withPathsFrom, withTls } from './address.ts';
import type { BrokerPlan, Configuration, Objective, SealPlan, Site } from './configuration.ts';
import { natsLoginOf } from './nats.ts';
import type { ConfigurationFile } from './schema.ts';
import { serversOf } from './stream.ts';
import { tlsPlanOf } from './tls.ts';

/** The plan that a file means, its relative paths taken from `base`. */
export function normalised(file: ConfigurationFile, base: string): Configuration {
  const folder = resolve(base, file.broker.log);
  const objectives = Object.entries(file.objectives).map(
    ([tier, objective]) => [tier, objectiveOf(objective)] as const,
  );
  const seal = sealOf(file.broker.seal, base);
  const rpos = objectives.flatMap(([, { rpoMs }]) => rpoMs ?? []);
  return {
    name: file.name,
    folder,
    sites: Object.entries(file.sites).map(([name, site]) => siteOf(name, site, base)),
    primary: file.primary,
    broker: brokerOf(file.broker, folder, base),
    ...(seal && { seal }),
    tables: file.tables.map(({ match, tier, leave_out: leaveOut, rows, leave_out_columns: leaveOutColumns, mask }) => ({
      match,
      ...(tier !== undefined && { tier }),
      ...(leaveOut && { leaveOut }),
      ...(rows !== undefined && { rows }),
      ...(leaveOutColumns.length > 0 && { leaveOutColumns }),
      ...(Object.keys(mask).length > 0 && { masks: mask }),
    })),
    ...(file.mask_key !== undefined && { maskKey: file.mask_key }),
    objectives: Object.fromEntries(objectives),
    guard: file.guard,
    heartbeatMs: file.heartbeat,
    walBudgetBytes: file.wal_budget,
    overBudget: file.over_budget,
    silenceMsMax: file.unheard_after,
    lagMsMax: Math.min(file.lagging_after, ...rpos),
  };
}

function brokerOf(
  { nats, kafka, rabbitmq, keep, keep_at_most }: ConfigurationFile['broker'],
  folder: string,
  base: string,
): BrokerPlan {
  if (nats) {
    const login = natsLoginOf(nats);
    return {
      kind: 'nats',
      servers: serversOf(nats.servers),
      stream: nats.stream,
      ...(nats.tls && { tls: tlsPlanOf(nats.tls, base) }),
      ...(login && { login }),
      retentionMs: keep,
    };
  }
  if (kafka) {
    const { bootstrap, topic, tls, mechanism = 'scram-sha-512', user, password } = kafka;
    return {
      kind: 'kafka',
      bootstrap: serversOf(bootstrap),
      topic,
      ...(tls && { tls: tlsPlanOf(tls, base) }),
      ...(user !== undefined && password !== undefined && { login: { mechanism, user, password } }),
      retentionMs: keep,
    };
  }
  if (rabbitmq) {
    const { url, stream, tls, user, password } = rabbitmq;
    return {
      kind: 'rabbitmq',
      url,
      stream,
      ...(tls && { tls: tlsPlanOf(tls, base) }),
      ...(user !== undefined && password !== undefined && { login: { user, password } }),
      retentionMs: keep,
    };
  }
  return { kind: 'log', folder: join(folder, 'log'), retentionMs: keep, retentionBytesMax: keep_at_most };
}

function sealOf(seal: ConfigurationFile['broker']['seal'], base: string): SealPlan | undefined {
  if (seal?.key_file !== undefined) return { kind: 'file', path: resolve(base, seal.key_file) };
  if (seal?.keys !== undefined) return { kind: 'environment', keys: seal.keys };
  return seal?.vault && { kind: 'vault', ...seal.vault, namespace: seal.vault.namespace };
}

function siteOf(name: string, site: ConfigurationFile['sites'][string], base: string): Site {
  const { postgres, password, canary, role } = site;
  const tls = site.tls && tlsPlanOf(site.tls, base);
  const url = password === undefined || hasPassword(postgres) ? postgres : withPassword(postgres, password);
  return {
    name,
    kind: 'postgres',
    url: tls ? withTls(url, tls) : withPathsFrom(url, base),
    // The same server, but another login: our certificate is not the application's.
    ...(canary !== undefined && {
      canary: tls && !saysTls(canary) ? withTls(canary, withoutOwn(tls)) : withPathsFrom(canary, base),
    }),
    role,
  };
}

const withoutOwn = ({ ca, serverName }: TlsPlan): TlsPlan => ({
  ...(ca !== undefined && { ca }),
  ...(serverName !== undefined && { serverName }),
});

const objectiveOf = (objective: ConfigurationFile['objectives'][string]): Objective => ({
  ...(objective.rpo !== undefined && { rpoMs: objective.rpo }),
  ...(objective.rto !== undefined && { rtoMs: objective.rto }),
  ...(objective.verify_every !== undefined && { verifyEveryMs: objective.verify_every }),
});
