import type { StreamConfig } from '@nats-io/jetstream';
import type { Finding } from '../../finding.ts';
import type { BrokerInspector } from '../broker.ts';
import { connectNats, isNotFound, type Nats, type NatsPlace, natsFailure } from './connect.ts';
import { openNatsFindings } from './login.ts';

export interface NatsInspectorOptions extends NatsPlace {
  /** Entries are wanted back for so long, at the least. */
  readonly keepMs: number;
}

/** Throws BROKER_UNREACHABLE, BROKER_LOGIN_REFUSED, BROKER_UNSUITABLE. */
export async function openNatsInspector(options: NatsInspectorOptions): Promise<BrokerInspector> {
  const nats = await connectNats(options);
  const { stream } = options;
  return {
    async check() {
      const config = await configOf(nats, stream);
      const version = nats.connection.info?.version ?? '';
      return [...openNatsFindings(options), ...natsFindings({ config, version, ...options })];
    },
    /** The settings that an operator gave it stay. */
    async forget() {
      try {
        for (const name of [stream, `${stream}_released`]) {
          const config = await configOf(nats, name);
          if (!config) continue;
          await nats.manager.streams.delete(name);
          await nats.manager.streams.add(config);
        }
      } catch (error) {
        throw natsFailure(error, `Removing stream ${stream} of NATS`);
      }
    },
    [Symbol.asyncDispose]: () => nats[Symbol.asyncDispose](),
  };
}

async function configOf(nats: Nats, stream: string): Promise<StreamConfig | undefined> {
  try {
    return (await nats.manager.streams.info(stream)).config;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw natsFailure(error, `Looking at stream ${stream} of NATS`);
  }
}

export interface NatsFacts {
  /** Undefined: the stream is not there yet, and will be made with one replica. */
  readonly config: Partial<StreamConfig> | undefined;
  /** Of the server, as `2.9.10`. */
  readonly version: string;
  readonly stream: string;
  readonly keepMs: number;
}

/** What the settings mean for what we promise. Pure. */
export function natsFindings({ config = {}, version, stream, keepMs }: NatsFacts): readonly Finding[] {
  const findings: Finding[] = [];
  const add = (severity: Finding['severity'], check: string, message: string, cure: string): void => {
    findings.push({
      severity,
      check,
      site: 'broker',
      message,
      cure,
      ...(severity === 'blocker' && { code: 'BROKER_UNSUITABLE' }),
    });
  };
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const canSync = major > 2 || (major === 2 && minor >= 10);
  if (config.storage === 'memory')
    add(
      'blocker',
      'broker-storage',
      `Stream ${stream} is kept in memory: a restart of NATS loses it`,
      `nats stream rm ${stream}\n# we make it anew, in files`,
    );
  if ((config.num_replicas ?? 1) < 3)
    add(
      'warning',
      'broker-durability',
      canSync
        ? `Stream ${stream} has one replica, and NATS writes to the disk every two minutes unless told otherwise: a power cut can lose what it has acknowledged`
        : `Stream ${stream} has one replica, and NATS ${version} cannot write each message to the disk before it answers: a power cut can lose what it has acknowledged`,
      canSync
        ? `# in nats-server.conf:\njetstream { sync_interval: always }\n# or, in a cluster:\nnats stream edit ${stream} --replicas=3`
        : `# in a cluster:\nnats stream edit ${stream} --replicas=3\n# or NATS 2.10 or later, with in nats-server.conf:\njetstream { sync_interval: always }`,
    );
  if (config.retention !== undefined && config.retention !== 'limits')
    add(
      'blocker',
      'broker-retention',
      `Stream ${stream} forgets what one consumer has read (retention ${config.retention})`,
      `nats stream rm ${stream}\n# we make it anew, with retention by limits`,
    );
  if ((config.max_msgs_per_subject ?? -1) > 0)
    add(
      'blocker',
      'broker-retention',
      `Stream ${stream} keeps ${config.max_msgs_per_subject} messages of a subject, and we use one subject`,
      `nats stream edit ${stream} --max-msgs-per-subject=-1`,
    );
  const ageMs = (config.max_age ?? 0) / 1_000_000;
  if (ageMs > 0)
    add(
      ageMs < keepMs ? 'blocker' : 'warning',
      'broker-retention',
      `Stream ${stream} forgets entries after ${Math.round(ageMs / 1000)} s, also those that a secondary which is down still needs`,
      `nats stream edit ${stream} --max-age=0\n# we remove what every secondary has`,
    );
  for (const [limit, option] of [
    ['max_bytes', 'max-bytes'],
    ['max_msgs', 'max-msgs'],
  ] as const)
    if ((config[limit] ?? -1) > 0 && config.discard !== 'new')
      add(
        'warning',
        'broker-retention',
        `Stream ${stream} forgets its oldest entries from ${config[limit]} ${limit === 'max_bytes' ? 'bytes' : 'messages'} on, also those that a secondary which is down still needs`,
        `nats stream edit ${stream} --${option}=-1\n# or --discard=new: then the primary waits`,
      );
  if ((config.max_msg_size ?? -1) > 0 && (config.max_msg_size ?? 0) < 1024 * 1024)
    add(
      'blocker',
      'broker-message-size',
      `Stream ${stream} takes messages of at most ${config.max_msg_size} bytes`,
      `nats stream edit ${stream} --max-msg-size=-1`,
    );
  return findings;
}
