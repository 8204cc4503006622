import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin, Consumer, Producer } from '@platformatic/kafka';
import { type Offset, offset } from '../../change/position.ts';
import { ChangeoverError } from '../../error.ts';
import { orAborted } from '../../flow/aborted.ts';
import type { Broker } from '../broker.ts';
import { type CarriedReader, openCarriedReader } from '../carried-reader.ts';
import { openCarriedBroker } from '../carried-writer.ts';
import type { Carried, Carrier, Extent, Retention } from '../carrier.ts';
import { isSettingUp, type KafkaClients, type KafkaPlace, kafkaClients, kafkaFailure } from './connect.ts';
import { isThere, makeTopic, Partition } from './topic.ts';

/* A topic with one partition as a carrier; our places are its offsets.

   <topic>             the records
   <topic>.released    what each consumer has released, compacted to its last word
   <topic>.writer      a consumer group: whoever writes is its one member                     */

export const notesOf = (topic: string): string => `${topic}.released`;
const writerGroupOf = (topic: string): string => `${topic}.writer`;

const recordBytesMax = 512 * 1024;
/** What a slow reader holds at the most. */
const fetchBytesMax = 4 * 1024 * 1024;
/** A writer that is gone without a word is out of its group after so long: the least that servers allow by default. */
const writerMsMax = 6000;

/** Kept until every secondary has it: we trim. */
const recordSettings = {
  'cleanup.policy': 'delete',
  'retention.ms': '-1',
  'retention.bytes': '-1',
  'compression.type': 'producer',
};
const noteSettings = { 'cleanup.policy': 'compact', 'segment.ms': '3600000' };

/** Throws BROKER_LOCKED while another writer is at work, BROKER_UNREACHABLE, BROKER_LOGIN_REFUSED, BROKER_TLS_REFUSED. */
export async function openKafkaBroker(place: KafkaPlace, signal: AbortSignal): Promise<Broker> {
  const carrier = new KafkaCarrier(await kafkaClients(place), place.topic);
  try {
    await carrier.begin();
    await carrier.holdWriter(signal);
  } catch (error) {
    await carrier[Symbol.asyncDispose]();
    throw kafkaFailure(error, `Opening ${carrier.name}`);
  }
  return openCarriedBroker(carrier, signal);
}

/** Throws BROKER_EMPTY when there is no topic yet, BROKER_UNREACHABLE, BROKER_LOGIN_REFUSED, BROKER_TLS_REFUSED. */
export async function openKafkaReader(place: KafkaPlace, signal: AbortSignal): Promise<CarriedReader> {
  return openCarriedReader(new KafkaCarrier(await kafkaClients(place), place.topic), signal);
}

class KafkaCarrier implements Carrier {
  readonly name: string;
  /** Whoever knows the address may write. Readers see by the claims whom to believe. */
  readonly isFenced = false;
  readonly behindMsMax = 0;
  readonly recordBytesMax = recordBytesMax;
  readonly retention: Retention = {
    note: (consumer, from) => this.#note(consumer, from),
    notes: () => this.#notes(),
    trim: (place) => this.#trim(place),
  };
  readonly #clients: KafkaClients;
  readonly #topic: string;
  readonly #admin: Admin;
  readonly #records: Partition;
  readonly #looking: Consumer;
  /** The questions of `at`, one after the other: they share a session of fetches, whose order the server minds. */
  #looked: Promise<unknown> = Promise.resolve();
  #producer: Producer | undefined;
  #member: Consumer | undefined;

  constructor(clients: KafkaClients, topic: string) {
    this.#clients = clients;
    this.#topic = topic;
    this.name = `topic ${topic} of Kafka`;
    this.#admin = clients.admin();
    this.#records = new Partition(this.#admin, topic);
    this.#looking = clients.consumer(`${topic}.reader`);
  }

  /** Makes the topics unless they are there: one that an operator made stays as it is. */
  async begin(): Promise<void> {
    if (!(await isThere(this.#admin, this.#topic))) await makeTopic(this.#admin, this.#topic, recordSettings);
    const notes = notesOf(this.#topic);
    if (!(await isThere(this.#admin, notes))) await makeTopic(this.#admin, notes, noteSettings);
  }

  /** Joins the group of the writer. A member that died is waited for until the server has given it up; one that lives is not. */
  async holdWriter(signal: AbortSignal): Promise<void> {
    const groupId = writerGroupOf(this.#topic);
    const untilMs = performance.now() + writerMsMax + 2000;
    for (let members = 1; members > 0; ) {
      members = await this.#members(groupId).catch((error: unknown) => {
        // The first group of a cluster makes it set up what it keeps groups in.
        if (isSettingUp(error) && performance.now() < untilMs) return 1;
        throw error;
      });
      if (members > 0 && performance.now() > untilMs) throw this.#locked();
      if (members > 0) await sleep(100, undefined, { signal });
    }
    const member = this.#clients.consumer(groupId);
    // It beats by itself, and where that fails nobody waits for it: who was asleep for so long hears at the next question of whoever followed.
    member.on('error', () => undefined);
    this.#member = member;
    member.topics.trackAll(this.#topic);
    await member.joinGroup({
      sessionTimeout: writerMsMax,
      heartbeatInterval: writerMsMax / 4,
      rebalanceTimeout: writerMsMax,
    });
    if ((await this.#members(groupId)) > 1) throw this.#locked();
  }

  #locked(): ChangeoverError {
    return new ChangeoverError('BROKER_LOCKED', `Another process writes to ${this.name}`, {
      hint: 'Only one process may capture into a stream. Stop the other one first.',
    });
  }

  async #members(groupId: string): Promise<number> {
    const groups = await this.#admin.describeGroups({ groups: [groupId] });
    return groups.get(groupId)?.members.size ?? 0;
  }

  async publish(records: readonly Buffer[]): Promise<readonly number[]> {
    const places: number[] = [];
    for (const record of records) places.push(await this.#put(this.#topic, record));
    return places;
  }

  async #put(topic: string, value: Buffer, key?: Buffer): Promise<number> {
    this.#producer ??= this.#clients.producer();
    try {
      const message = { topic, partition: 0, value, ...(key && { key }) };
      const { offsets } = await this.#producer.send({ messages: [message] });
      const place = offsets?.[0]?.offset;
      if (place === undefined)
        throw new ChangeoverError('BROKER_UNREACHABLE', `${this.name} took a record without a word`);
      return Number(place);
    } catch (error) {
      throw kafkaFailure(error, `Writing to topic ${topic} of Kafka`);
    }
  }

  async *read(from: number, signal: AbortSignal): AsyncGenerator<Carried, void> {
    const consumer = this.#clients.consumer(`${this.#topic}.reader`);
    try {
      for (let place = from; !signal.aborted; ) {
        // Left behind at an abort, it fails when its consumer is closed.
        const fetching = this.#records.fetch(consumer, { from: place, bytesMax: fetchBytesMax, waits: true });
        for (const one of (await orAborted(fetching, signal)) ?? []) {
          yield one;
          if (signal.aborted) return;
          place = one.place + 1;
        }
      }
    } finally {
      await closed(consumer);
    }
  }

  async at(place: number): Promise<Carried | undefined> {
    const { first, next } = await this.extent();
    const from = Math.max(first, place);
    if (from >= next) return undefined;
    const looking = this.#looked.then(() => this.#records.fetch(this.#looking, { from, bytesMax: 1, waits: false }));
    this.#looked = looking.catch(() => undefined);
    return (await looking)[0];
  }

  extent(): Promise<Extent> {
    return this.#records.extent();
  }

  async #note(consumer: string, from: Offset): Promise<void> {
    await this.#put(notesOf(this.#topic), Buffer.from(JSON.stringify({ released: from })), Buffer.from(consumer));
  }

  async #notes(): Promise<ReadonlyMap<string, Offset>> {
    const partition = new Partition(this.#admin, notesOf(this.#topic));
    const notes = new Map<string, Offset>();
    const { first, next } = await partition.extent();
    for (let place = first; place < next; ) {
      const fetched = await partition.fetch(this.#looking, { from: place, bytesMax: fetchBytesMax, waits: true });
      for (const { key, bytes } of fetched) if (key) notes.set(key.toString(), releasedIn(bytes.toString()));
      const last = fetched.at(-1);
      if (!last) break;
      place = last.place + 1;
    }
    return notes;
  }

  async #trim(place: number): Promise<void> {
    try {
      const partitions = [{ partition: 0, offset: BigInt(place) }];
      await this.#admin.deleteRecords({ topics: [{ name: this.#topic, partitions }] });
    } catch (error) {
      throw kafkaFailure(error, `Trimming ${this.name}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of [this.#member, this.#producer, this.#looking, this.#admin]) if (client) await closed(client);
  }
}

/** What is closed has nothing to say any more. */
async function closed(client: Admin | Consumer | Producer): Promise<void> {
  if (client.closed) return;
  await ('leaveGroup' in client ? client.close(true) : client.close()).catch(() => undefined);
}

/** What cannot be read counts as nothing released: it keeps more, never less. */
function releasedIn(text: string): Offset {
  try {
    const found: unknown = JSON.parse(text);
    const released = typeof found === 'object' && found !== null && 'released' in found ? found.released : undefined;
    return typeof released === 'number' ? offset(released) : offset(0);
  } catch {
    return offset(0);
  }
}
