import { stringify } from 'yaml';
import { unreachable } from '../error.ts';
import type { TlsPlan } from '../tls.ts';
import { redactUrl } from './address.ts';
import type {
  BrokerPlan,
  Configuration,
  KafkaPlan,
  MaskPlan,
  NatsLogin,
  NatsPlan,
  Objective,
  RabbitPlan,
  SealPlan,
} from './configuration.ts';
import { formatDurationMs, formatSizeBytes } from './units.ts';

/** The plan as a file with every option in it and every secret as `***`. */
export const renderConfiguration = (configuration: Configuration): string =>
  stringify(renderedConfiguration(configuration), { lineWidth: 0 });

/** The same as plain values, in the words of the file. */
export function renderedConfiguration(configuration: Configuration): unknown {
  const { broker } = configuration;
  return {
    name: configuration.name,
    sites: Object.fromEntries(
      configuration.sites.map(({ name, url, role, canary }) => [
        name,
        { postgres: redactUrl(url), ...(canary !== undefined && { canary: redactUrl(canary) }), role },
      ]),
    ),
    primary: configuration.primary,
    broker: {
      log: configuration.folder,
      ...writtenBroker(broker),
      ...(configuration.seal && { seal: writtenSeal(configuration.seal) }),
    },
    tables: configuration.tables.map(({ match, tier, leaveOut, rows, leaveOutColumns, masks }) => ({
      match,
      ...(tier !== undefined && { tier }),
      ...(leaveOut && { leave_out: true }),
      ...(rows !== undefined && { rows }),
      ...(leaveOutColumns && { leave_out_columns: leaveOutColumns }),
      ...(masks && {
        mask: Object.fromEntries(Object.entries(masks).map(([column, mask]) => [column, writtenMask(mask)])),
      }),
    })),
    ...(configuration.maskKey !== undefined && { mask_key: '***' }),
    objectives: Object.fromEntries(
      Object.entries(configuration.objectives).map(([tier, objective]) => [tier, writtenObjective(objective)]),
    ),
    guard: configuration.guard,
    heartbeat: formatDurationMs(configuration.heartbeatMs),
    wal_budget: formatSizeBytes(configuration.walBudgetBytes),
    over_budget: configuration.overBudget,
    lagging_after: formatDurationMs(configuration.lagMsMax),
    unheard_after: formatDurationMs(configuration.silenceMsMax),
  };
}

function writtenBroker(broker: BrokerPlan): object {
  const keep = formatDurationMs(broker.retentionMs);
  switch (broker.kind) {
    case 'log':
      return { keep, keep_at_most: formatSizeBytes(broker.retentionBytesMax) };
    case 'nats':
      return { nats: writtenNats(broker), keep };
    case 'kafka':
      return { kafka: writtenKafka(broker), keep };
    case 'rabbitmq':
      return { rabbitmq: writtenRabbit(broker), keep };
    default:
      return unreachable(broker);
  }
}

const writtenNats = ({ servers, stream, tls, login }: NatsPlan): object => ({
  servers: servers.map(redactServer).join(','),
  stream,
  ...(tls && { tls: writtenTls(tls) }),
  ...(login && writtenLogin(login)),
});

const writtenKafka = ({ bootstrap, topic, tls, login }: KafkaPlan): object => ({
  bootstrap: bootstrap.join(','),
  topic,
  ...(tls && { tls: writtenTls(tls) }),
  ...(login && { ...login, password: '***' }),
});

const writtenRabbit = ({ url, stream, tls, login }: RabbitPlan): object => ({
  url: redactUrl(url),
  stream,
  ...(tls && { tls: writtenTls(tls) }),
  ...(login && { user: login.user, password: '***' }),
});

const writtenTls = ({ serverName, ...paths }: TlsPlan): object => ({
  ...paths,
  ...(serverName !== undefined && { server_name: serverName }),
});

const writtenLogin = (login: NatsLogin): object =>
  login.kind === 'password' ? { user: login.user, password: '***' } : { [login.kind]: '***' };

function writtenSeal(seal: SealPlan): object {
  switch (seal.kind) {
    case 'file':
      return { key_file: seal.path };
    case 'environment':
      return { keys: '***' };
    case 'vault': {
      const { address, key, mount, namespace } = seal;
      return {
        vault: { address: redactUrl(address), key, token: '***', mount, ...(namespace !== undefined && { namespace }) },
      };
    }
    default:
      return unreachable(seal);
  }
}

/** Whatever stands before the @ may be a password or a token. */
const redactServer = (server: string): string => server.replace(/[^/@]+@/, '***@');

const writtenMask = (mask: MaskPlan): unknown => (mask.kind === 'fixed' ? { fixed: mask.value } : mask.kind);

const writtenObjective = ({ rpoMs, rtoMs, verifyEveryMs }: Objective): unknown => ({
  ...(rpoMs !== undefined && { rpo: formatDurationMs(rpoMs) }),
  ...(rtoMs !== undefined && { rto: formatDurationMs(rtoMs) }),
  ...(verifyEveryMs !== undefined && { verify_every: formatDurationMs(verifyEveryMs) }),
});
