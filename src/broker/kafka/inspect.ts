import type { Admin } from '@platformatic/kafka';
import type { Finding } from '../../finding.ts';
import type { BrokerInspector } from '../broker.ts';
import { notesOf } from './carrier.ts';
import { type KafkaPlace, kafkaClients, kafkaFailure } from './connect.ts';
import { openKafkaFindings } from './login.ts';
import { isThere, makeTopic, settingsOf } from './topic.ts';

export interface KafkaInspectorOptions extends KafkaPlace {
  /** Entries are wanted back for so long, at the least. */
  readonly keepMs: number;
}

/** Throws BROKER_TLS_REFUSED, and BROKER_UNREACHABLE and BROKER_LOGIN_REFUSED at the latest when it is asked. */
export async function openKafkaInspector(options: KafkaInspectorOptions): Promise<BrokerInspector> {
  const { topic, keepMs } = options;
  const admin = (await kafkaClients(options)).admin();
  return {
    async check() {
      try {
        const facts = await factsOf(admin, topic);
        return [...openKafkaFindings(options), ...kafkaFindings({ topic, keepMs, ...facts })];
      } catch (error) {
        throw kafkaFailure(error, `Looking at topic ${topic} of Kafka`);
      }
    },
    /** The settings that an operator gave the topic stay. */
    async forget() {
      try {
        for (const name of [topic, notesOf(topic)]) {
          if (!(await isThere(admin, name))) continue;
          const settings = await settingsOf(admin, name);
          await admin.deleteTopics({ topics: [name] });
          await makeTopic(
            admin,
            name,
            Object.fromEntries([...settings].flatMap(([key, { value, isOwn }]) => (isOwn ? [[key, value]] : []))),
          );
        }
      } catch (error) {
        throw kafkaFailure(error, `Removing topic ${topic} of Kafka`);
      }
    },
    async [Symbol.asyncDispose]() {
      if (!admin.closed) await admin.close().catch(() => undefined);
    },
  };
}

export interface KafkaFacts {
  readonly brokers: number;
  /** Undefined: the topic is not there yet, and will be made with what `makeTopic` gives it. */
  readonly found:
    | {
        readonly partitions: number;
        readonly replicas: number;
        readonly settings: ReadonlyMap<string, string>;
      }
    | undefined;
}

async function factsOf(admin: Admin, topic: string): Promise<KafkaFacts> {
  const { brokers } = await admin.metadata({ topics: [] });
  if (!(await isThere(admin, topic))) return { brokers: brokers.size, found: undefined };
  const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true });
  const partitions = topics.get(topic)?.partitions ?? [];
  const settings = new Map([...(await settingsOf(admin, topic))].map(([key, { value }]) => [key, value]));
  return {
    brokers: brokers.size,
    found: { partitions: partitions.length, replicas: partitions[0]?.replicas.length ?? 0, settings },
  };
}

/** What the settings mean for what we promise. Pure. */
export function kafkaFindings({
  topic,
  keepMs,
  brokers,
  found,
}: KafkaFacts & { readonly topic: string; readonly keepMs: number }): readonly Finding[] {
  const findings: Finding[] = [];
  const add = (severity: 'blocker' | 'warning', check: string, message: string, cure: string): void => {
    const code = severity === 'blocker' ? ({ code: 'BROKER_UNSUITABLE' } as const) : {};
    findings.push({ severity, check, site: 'broker', message, cure, ...code });
  };
  const alter = (setting: string): string =>
    `kafka-configs.sh --bootstrap-server … --alter --entity-type topics --entity-name ${topic} --add-config ${setting}`;
  const replicas = found?.replicas ?? Math.min(3, brokers);
  if (replicas < 3)
    add(
      'warning',
      'broker-durability',
      `Topic ${topic} has ${replicas === 1 ? 'one replica' : `${replicas} replicas`}, and Kafka answers before anything is on a disk: a power cut can lose what it has acknowledged`,
      brokers < 3
        ? '# a cluster of three brokers or more, in different racks, and then three replicas with min.insync.replicas=2'
        : `kafka-reassign-partitions.sh …   # three replicas of ${topic}\n${alter('min.insync.replicas=2')}`,
    );
  if (!found) return findings;
  const setting = (name: string): string => found.settings.get(name) ?? '';
  if (found.partitions !== 1)
    add(
      'blocker',
      'broker-order',
      `Topic ${topic} has ${found.partitions} partitions, and only within one of them is there an order`,
      `kafka-topics.sh --bootstrap-server … --delete --topic ${topic}\n# we make it anew, with one partition`,
    );
  if (replicas >= 3 && Number(setting('min.insync.replicas')) < 2)
    add(
      'warning',
      'broker-durability',
      `Topic ${topic} acknowledges what one replica alone has (min.insync.replicas=${setting('min.insync.replicas')})`,
      alter('min.insync.replicas=2'),
    );
  if (setting('unclean.leader.election.enable') === 'true')
    add(
      'blocker',
      'broker-durability',
      `Topic ${topic} may be led by a replica that lacks what was acknowledged (unclean.leader.election.enable)`,
      alter('unclean.leader.election.enable=false'),
    );
  if (setting('cleanup.policy') !== 'delete')
    add(
      'blocker',
      'broker-retention',
      `Topic ${topic} is compacted (cleanup.policy=${setting('cleanup.policy')}): it forgets entries in the middle`,
      alter('cleanup.policy=delete'),
    );
  const retentionMs = Number(setting('retention.ms') || -1);
  if (retentionMs >= 0)
    add(
      retentionMs < keepMs ? 'blocker' : 'warning',
      'broker-retention',
      `Topic ${topic} forgets entries after ${Math.round(retentionMs / 1000)} s, also those that a secondary which is down still needs`,
      `${alter('retention.ms=-1')}\n# we remove what every secondary has`,
    );
  if (Number(setting('retention.bytes') || -1) >= 0)
    add(
      'warning',
      'broker-retention',
      `Topic ${topic} forgets its oldest entries from ${setting('retention.bytes')} bytes on, also those that a secondary which is down still needs`,
      `${alter('retention.bytes=-1')}\n# we remove what every secondary has`,
    );
  if (Number(setting('max.message.bytes') || recordBytesNeeded) < recordBytesNeeded)
    add(
      'blocker',
      'broker-message-size',
      `Topic ${topic} takes messages of at most ${setting('max.message.bytes')} bytes`,
      alter('max.message.bytes=1048588'),
    );
  return findings;
}

/** Our records, and what Kafka puts around them. */
const recordBytesNeeded = 600 * 1024;
