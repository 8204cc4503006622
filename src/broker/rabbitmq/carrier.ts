import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChannelModel, ConsumeMessage, Message } from 'amqplib';
import { ChangeoverError } from '../../error.ts';
import { orAborted } from '../../flow/aborted.ts';
import type { Broker } from '../broker.ts';
import { type CarriedReader, openCarriedReader } from '../carried-reader.ts';
import { openCarriedBroker } from '../carried-writer.ts';
import type { Carried, Carrier, Extent } from '../carrier.ts';
import {
  connectRabbit,
  heartbeatSeconds,
  isMissing,
  type Line,
  openConfirmedLine,
  openLine,
  type RabbitPlace,
  rabbitFailure,
  replyOf,
} from './connect.ts';

/* A stream queue as a carrier, over AMQP 0-9-1; our places are its offsets.
   https://www.rabbitmq.com/docs/streams

   <stream>          the records
   <stream>.writer   an exclusive queue: it is there as long as the connection of whoever writes        */

const recordBytesMax = 512 * 1024;
/** What a slow reader holds: so many records, at the most. */
const prefetchMax = 16;
/** More than one chunk holds: records come in chunks, and `last` means the last of them. */
const chunkRecordsMax = 8192;
/** A writer that is gone without a word keeps its queue until its heartbeats are missed. */
const writerMsMax = (3 * heartbeatSeconds + 3) * 1000;
/** Segments are removed as a whole, and never the last one. */
const segmentBytes = 64 * 1024 * 1024;
/** With the first stream of a cluster RabbitMQ begins to coordinate streams, and files that away about a second later: killed before
 *  (seen with 3.10.8), it comes back with a stream that says for ever that it is down. So nothing is acknowledged before. */
const settleMsDefault = 5000;
const keepMsMin = 7 * 24 * 3600 * 1000;

export interface RabbitWriterPlace extends RabbitPlace {
  /** A stream that we make keeps its entries for so long, and for a week at the least. */
  readonly keepMs: number;
  /** Smaller segments, and bytes after which the oldest go. */
  readonly limits?: { readonly segmentBytes: number; readonly bytes: number };
  /** How long a stream that we made is left alone before it takes anything. Default 5 s. */
  readonly settleMs?: number;
}

/** Throws BROKER_LOCKED while another writer is at work, BROKER_UNREACHABLE, BROKER_LOGIN_REFUSED, BROKER_TLS_REFUSED,
 *  BROKER_UNSUITABLE. */
export async function openRabbitBroker(place: RabbitWriterPlace, signal: AbortSignal): Promise<Broker> {
  const carrier = new RabbitCarrier(await connectRabbit(place), place.stream);
  try {
    await carrier.begin(place);
    await carrier.holdWriter(signal);
  } catch (error) {
    await carrier[Symbol.asyncDispose]();
    throw rabbitFailure(error, `Opening ${carrier.name}`);
  }
  return openCarriedBroker(carrier, signal);
}

/** Throws BROKER_EMPTY when there is no stream yet, BROKER_UNREACHABLE, BROKER_LOGIN_REFUSED, BROKER_TLS_REFUSED,
 *  BROKER_UNSUITABLE. */
export async function openRabbitReader(place: RabbitPlace, signal: AbortSignal): Promise<CarriedReader> {
  return openCarriedReader(new RabbitCarrier(await connectRabbit(place), place.stream), signal);
}

class RabbitCarrier implements Carrier {
  readonly name: string;
  readonly isFenced = false;
  /** A replica tells what it has, and that is a little less than the leader may have acknowledged. */
  readonly behindMsMax = 5000;
  readonly recordBytesMax = recordBytesMax;
  /** AMQP has no word for it: the stream's own settings decide. */
  readonly retention = undefined;
  readonly #connection: ChannelModel;
  readonly #stream: string;
  #writer: Writer | undefined;

  constructor(connection: ChannelModel, stream: string) {
    this.#connection = connection;
    this.#stream = stream;
    this.name = `stream ${stream} of RabbitMQ`;
  }

  /** Makes the stream unless it is there: one that an operator made stays as it is. */
  async begin({ keepMs, limits, settleMs = settleMsDefault }: RabbitWriterPlace): Promise<void> {
    if (await isThere(this.#connection, this.#stream)) return;
    await using line = await openLine(this.#connection);
    await line.channel.assertQueue(this.#stream, {
      durable: true,
      arguments: {
        'x-queue-type': 'stream',
        'x-max-age': `${Math.ceil(Math.max(keepMs, keepMsMin) / 1000)}s`,
        'x-stream-max-segment-size-bytes': limits?.segmentBytes ?? segmentBytes,
        ...(limits && { 'x-max-length-bytes': limits.bytes }),
      },
    });
    await sleep(settleMs);
  }

  /** Takes the queue that only one connection can have. That of a writer which died is waited for; of one that lives it is not given. */
  async holdWriter(signal: AbortSignal): Promise<void> {
    const untilMs = performance.now() + writerMsMax;
    for (;;) {
      const line = await openLine(this.#connection);
      try {
        await line.channel.assertQueue(`${this.#stream}.writer`, { exclusive: true, durable: false });
        await line[Symbol.asyncDispose]();
        break;
      } catch (error) {
        if (replyOf(error) !== 405) throw error;
        if (performance.now() > untilMs)
          throw new ChangeoverError('BROKER_LOCKED', `Another process writes to ${this.name}`, {
            hint: 'Only one process may capture into a stream. Stop the other one first.',
            cause: error,
          });
        await sleep(200, undefined, { signal });
      }
    }
    this.#writer = await openWriter(this.#connection, this.#stream);
  }

  async publish(records: readonly Buffer[]): Promise<readonly number[]> {
    const places: number[] = [];
    try {
      for (const record of records) {
        if (!this.#writer) throw new ChangeoverError('ASSERTION', 'Published by a reader');
        places.push(await this.#writer.put(record));
      }
    } catch (error) {
      throw rabbitFailure(error, `Writing to ${this.name}`);
    }
    return places;
  }

  async *read(from: number, signal: AbortSignal): AsyncGenerator<Carried, void> {
    if (signal.aborted) return;
    try {
      await using line = await openLine(this.#connection);
      const deliveries = await consume(line, { stream: this.#stream, offset: from, atOnce: prefetchMax });
      while (!signal.aborted) {
        const message = await line.orLost(orAborted(deliveries.next(), signal));
        if (!message) return;
        yield carried(message, this.name);
        // Only what was taken makes room for more.
        line.channel.ack(message);
      }
    } catch (error) {
      if (!signal.aborted) throw rabbitFailure(error, `Reading ${this.name}`);
    }
  }

  async at(place: number): Promise<Carried | undefined> {
    return (await this.#available(place, 1))[0];
  }

  async extent(): Promise<Extent> {
    const [first] = await this.#available('first', 1);
    if (!first) return { first: 0, next: 0 };
    const last = (await this.#available('last', chunkRecordsMax)).at(-1);
    return { first: first.place, next: (last ?? first).place + 1 };
  }

  /** What there is at this moment from `offset` on, up to `count` records. */
  async #available(offset: number | 'first' | 'last', count: number): Promise<readonly Carried[]> {
    try {
      await using line = await openLine(this.#connection);
      const deliveries = await consume(line, { stream: this.#stream, offset, atOnce: count });
      // The server gives what it has before it answers the next question of the same channel.
      await line.orLost(line.channel.checkQueue(this.#stream));
      return deliveries.all().map((message) => carried(message, this.name));
    } catch (error) {
      throw rabbitFailure(error, `Looking at ${this.name}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close().catch(() => undefined);
  }
}

/** A failed passive declaration costs its channel: it has one of its own. */
export async function isThere(connection: ChannelModel, queue: string): Promise<boolean> {
  await using line = await openLine(connection);
  try {
    await line.channel.checkQueue(queue);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

interface Deliveries {
  next(): Promise<Message>;
  all(): readonly Message[];
}

/** Nothing comes beyond `atOnce` until some are acknowledged, and so nothing more is held. */
async function consume(
  { channel }: Line,
  { stream, offset, atOnce }: { readonly stream: string; readonly offset: number | string; readonly atOnce: number },
): Promise<Deliveries> {
  const queue: Message[] = [];
  let wake: PromiseWithResolvers<void> = Promise.withResolvers();
  await channel.prefetch(atOnce);
  const take = (message: ConsumeMessage | null): void => {
    if (!message) return;
    queue.push(message);
    wake.resolve();
    wake = Promise.withResolvers();
  };
  await channel.consume(stream, take, { noAck: false, arguments: { 'x-stream-offset': offset } });
  return {
    async next() {
      for (;;) {
        const message = queue.shift();
        if (message) return message;
        await wake.promise;
      }
    },
    all: () => queue,
  };
}

function carried({ content, properties }: Message, name: string): Carried {
  const place: unknown = properties.headers?.['x-stream-offset'];
  if (typeof place === 'number') return { place, bytes: content };
  throw new ChangeoverError('BROKER_UNSUITABLE', `${name} is no stream: what is read from it is gone`, {
    hint: 'Delete that queue, or name another stream: we make it with x-queue-type: stream. Classic and quorum queues cannot be read again.',
  });
}

interface Writer {
  /** Resolves to the place of the record once it is durable. */
  put(record: Buffer): Promise<number>;
}

/** RabbitMQ confirms a record without its place. So we read what we write. */
async function openWriter(connection: ChannelModel, stream: string): Promise<Writer> {
  const reading = await openLine(connection);
  const places = new Map<string, PromiseWithResolvers<number>>();
  const name = `stream ${stream} of RabbitMQ`;
  await reading.channel.prefetch(prefetchMax);
  const take = (message: ConsumeMessage | null): void => {
    if (!message) return;
    reading.channel.ack(message);
    const waiting = places.get(String(message.properties.messageId));
    if (!waiting) return;
    try {
      waiting.resolve(carried(message, name).place);
    } catch (error) {
      waiting.reject(error);
    }
  };
  await reading.channel.consume(stream, take, { noAck: false, arguments: { 'x-stream-offset': 'next' } });

  const confirming = await openConfirmedLine(connection);
  const writer = randomUUID();
  let count = 0;
  return {
    async put(record) {
      count += 1;
      const messageId = `${writer} ${count}`;
      const place = Promise.withResolvers<number>();
      places.set(messageId, place);
      try {
        const confirmed = new Promise<void>((resolve, reject) => {
          const settle = (error: unknown): void => (error ? reject(error) : resolve());
          confirming.channel.publish('', stream, record, { messageId, deliveryMode: 2, mandatory: true }, settle);
        });
        const both = Promise.all([place.promise, confirmed]);
        const [found] = await reading.orLost(confirming.orLost(both));
        return found;
      } finally {
        places.delete(messageId);
      }
    },
  };
}
