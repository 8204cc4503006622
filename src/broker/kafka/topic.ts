import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin, Consumer } from '@platformatic/kafka';
import { ChangeoverError } from '../../error.ts';
import type { Carried, Extent } from '../carrier.ts';
import { answerMsMax, isOutOfRange, isUnknownTopic, kafkaFailure } from './connect.ts';

/** How long a fetch waits for something new. */
const waitMs = 2000;

export interface Fetched extends Carried {
  readonly key: Buffer | undefined;
}

/** The one partition of a topic. */
export class Partition {
  readonly #admin: Admin;
  readonly #topic: string;

  constructor(admin: Admin, topic: string) {
    this.#admin = admin;
    this.#topic = topic;
  }

  /** Throws BROKER_EMPTY when there is no such topic. */
  async extent(): Promise<Extent> {
    try {
      const [first, next] = await Promise.all([this.#offset(-2n), this.#offset(-1n)]);
      return { first, next };
    } catch (error) {
      // The client has a word of its own for a topic that is not there, and several for one that is.
      const topics = await this.#admin.listTopics().catch(() => undefined);
      if (topics && !topics.includes(this.#topic))
        throw new ChangeoverError('BROKER_EMPTY', `There is no topic ${this.#topic}`, { cause: error });
      throw kafkaFailure(error, `Looking at topic ${this.#topic}`);
    }
  }

  /** https://kafka.apache.org/protocol#The_Messages_ListOffsets: -2 is the first, -1 behind the last. */
  async #offset(timestamp: bigint): Promise<number> {
    const partitions = [{ partitionIndex: 0, timestamp }];
    const [listed] = await this.#admin.listOffsets({ topics: [{ name: this.#topic, partitions }] });
    const offset = listed?.partitions[0]?.offset;
    if (offset === undefined) throw new ChangeoverError('BROKER_EMPTY', `There is no topic ${this.#topic}`);
    return Number(offset);
  }

  /** What lies at `from` and behind, as far as `bytesMax` goes; one record at least, unless there is none or `waits` and none comes.
   *  Where the server has forgotten some, it begins with the first that it holds. */
  async fetch(
    consumer: Consumer,
    { from, bytesMax, waits }: { readonly from: number; readonly bytesMax: number; readonly waits: boolean },
  ): Promise<readonly Fetched[]> {
    try {
      const { leader, id } = await this.#leader(consumer);
      const partition = {
        partition: 0,
        currentLeaderEpoch: -1,
        fetchOffset: BigInt(from),
        lastFetchedEpoch: -1,
        partitionMaxBytes: bytesMax,
      };
      const { responses } = await consumer.fetch({
        node: leader,
        topics: [{ topicId: id, partitions: [partition] }],
        minBytes: 1,
        maxBytes: bytesMax,
        maxWaitTime: waits ? waitMs : 1,
      });
      const batches = responses[0]?.partitions[0]?.records ?? [];
      return batches.flatMap((batch) =>
        batch.records.flatMap(({ offsetDelta, key, value }) => {
          const place = Number(batch.firstOffset) + offsetDelta;
          // A batch is given whole, also what lies before.
          return place < from ? [] : [{ place, bytes: value ?? Buffer.alloc(0), key: key ?? undefined }];
        }),
      );
    } catch (error) {
      if (!isOutOfRange(error)) throw kafkaFailure(error, `Reading topic ${this.#topic}`);
      const { first, next } = await this.extent();
      if (from < first) return this.fetch(consumer, { from: first, bytesMax, waits });
      throw new ChangeoverError(
        'BROKER_GAP',
        `Topic ${this.#topic} ends at ${next}, before record ${from}: it lost records`,
        {
          cause: error,
        },
      );
    }
  }

  async #leader(consumer: Consumer): Promise<{ readonly leader: number; readonly id: string }> {
    const { topics } = await consumer.metadata({ topics: [this.#topic] });
    const found = topics.get(this.#topic);
    const leader = found?.partitions[0]?.leader;
    if (!found || leader === undefined || leader < 0)
      throw new ChangeoverError('BROKER_UNREACHABLE', `Topic ${this.#topic} has no leader at this moment`);
    return { leader, id: found.id };
  }
}

/** A topic as an operator would make it by hand, with as much safety as the cluster can give. */
export async function makeTopic(
  admin: Admin,
  topic: string,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const { brokers } = await admin.metadata({ topics: [] });
  const replicas = Math.min(3, brokers.size);
  const configs = Object.entries({ 'min.insync.replicas': replicas === 3 ? '2' : '1', ...settings });
  await admin.createTopics({
    topics: [topic],
    partitions: 1,
    replicas,
    configs: configs.map(([name, value]) => ({ name, value })),
  });
  // The answer comes before the brokers know of it.
  const untilMs = performance.now() + answerMsMax;
  while (!(await isThere(admin, topic))) {
    if (performance.now() > untilMs)
      throw new ChangeoverError('BROKER_UNREACHABLE', `Topic ${topic} was made and did not come up`);
    await sleep(50);
  }
}

/** By name, and whether the topic itself says so rather than the cluster. */
export async function settingsOf(
  admin: Admin,
  topic: string,
): Promise<ReadonlyMap<string, { readonly value: string; readonly isOwn: boolean }>> {
  const { ConfigResourceTypes, ConfigSources } = await import('@platformatic/kafka');
  const resources = [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic }];
  const [described] = await admin.describeConfigs({ resources });
  return new Map(
    (described?.configs ?? []).map(({ name, value, configSource }) => [
      name,
      { value: value ?? '', isOwn: configSource === ConfigSources.DYNAMIC_TOPIC_CONFIG },
    ]),
  );
}

/** Whether the topic is there, with a leader. */
export async function isThere(admin: Admin, topic: string): Promise<boolean> {
  if (!(await admin.listTopics()).includes(topic)) return false;
  try {
    const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true });
    return (topics.get(topic)?.partitions[0]?.leader ?? -1) >= 0;
  } catch (error) {
    if (isUnknownTopic(error)) return false;
    throw error;
  }
}
