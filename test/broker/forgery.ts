import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Broker, BrokerReader, Entry } from '../../src/broker/broker.ts';
import { verifyCarried } from '../../src/broker/carried-verify.ts';
import { kafkaClients } from '../../src/broker/kafka/connect.ts';
import { makeTopic } from '../../src/broker/kafka/topic.ts';
import type { KeyRing } from '../../src/broker/key-ring.ts';
import { openLogReader } from '../../src/broker/log/reader.ts';
import { verifyLog } from '../../src/broker/log/verify.ts';
import { openLogBroker } from '../../src/broker/log/writer.ts';
import { connectNats } from '../../src/broker/nats/connect.ts';
import { pack } from '../../src/broker/pack.ts';
import { openRabbitBroker } from '../../src/broker/rabbitmq/carrier.ts';
import { connectRabbit, openConfirmedLine } from '../../src/broker/rabbitmq/connect.ts';
import { emptyState, encodeRecord } from '../../src/broker/record.ts';
import { OpeningKeys } from '../../src/broker/seal/data-keys.ts';
import { Opener } from '../../src/broker/seal/open.ts';
import { openSealedReader } from '../../src/broker/seal/reader.ts';
import { openSealedBroker } from '../../src/broker/seal/writer.ts';
import type { Batch } from '../../src/change/change.ts';
import { encodeBatch } from '../../src/change/codec.ts';
import { type Epoch, offset } from '../../src/change/position.ts';
import { type Kind, openBrokerServer } from '../../src/demo/broker-server.ts';
import { kafka } from '../../src/demo/kafka.ts';
import { nats } from '../../src/demo/nats.ts';
import { rabbitmq } from '../../src/demo/rabbitmq.ts';
import type { Adapter, StreamPlace } from '../conformance/broker-server.ts';
import { temporaryFolder } from './folder.ts';
import { adapter as kafkaAdapter } from './kafka-adapter.ts';
import { adapter as natsAdapter } from './nats-adapter.ts';
import { adapter as rabbitAdapter } from './rabbitmq-adapter.ts';

/* Brokers in the hands of somebody who holds no key, and can do everything else: what is forged here has every checksum, every hash of the
   broker's own and every number right. */

export interface Appended {
  readonly epoch: Epoch;
  readonly batch: Batch;
}

export interface Verdict {
  readonly offset: number | undefined;
  readonly why: string;
}

export interface HostileBroker extends AsyncDisposable {
  /** A stream of which its writer has only made the beginning. */
  begun(): Promise<Stored>;
  /** The stream with other entries in it. */
  forged(stored: Stored, entries: readonly Appended[]): Promise<Stored>;
}

/** A stream as the broker sees it: nothing of it is opened. */
export interface Stored {
  readonly stream: string;
  readonly entries: readonly Entry[];
  /** As it is by now. */
  now(): Promise<Stored>;
  /** As whoever has the keys. */
  writer(ring: KeyRing): Promise<Broker>;
  reader(ring: KeyRing): Promise<BrokerReader>;
  /** Undefined: all of it is proved. */
  verified(ring: KeyRing): Promise<Verdict | undefined>;
}

/** What the stream is after these were appended to it. */
export async function written(to: Stored, appended: readonly Appended[], ring: KeyRing): Promise<Stored> {
  {
    await using writer = await to.writer(ring);
    for (const { epoch, batch } of appended) await writer.append(epoch, batch);
  }
  return to.now();
}

async function all(reader: BrokerReader, signal: AbortSignal): Promise<Entry[]> {
  const { next } = await reader.observe();
  const entries: Entry[] = [];
  if (next > 0) for await (const entry of reader.read(offset(0), signal)) if (entries.push(entry) === next) break;
  return entries;
}

/** The embedded log, in the hands of whoever can write to its folder. */
export async function hostileLog(signal: AbortSignal): Promise<HostileBroker> {
  const opened = new AsyncDisposableStack();
  const root = opened.use(await temporaryFolder());
  let folders = 0;
  const newFolder = async (): Promise<string> => {
    const folder = join(root.path, String((folders += 1)));
    await mkdir(folder);
    return folder;
  };
  const stored = async (folder: string): Promise<Stored> => {
    const openReader = () => openLogReader({ folder }, signal);
    await using raw = await openReader();
    return {
      stream: raw.stream,
      entries: await all(raw, signal),
      now: () => stored(folder),
      async writer(ring) {
        const broker = await openLogBroker({ folder }, signal);
        return openSealedBroker({ broker, openReader, ring }, signal);
      },
      reader: async (ring) => openSealedReader(await openReader(), ring),
      async verified(ring) {
        const opening = async (stream: string) => {
          const opener = new Opener(stream, new OpeningKeys(ring));
          return (entry: Entry) => opener.open(entry, signal);
        };
        for await (const finding of verifyLog({ folder, opening }, signal))
          if (finding.kind === 'broken') return finding;
        return undefined;
      },
    };
  };
  return {
    async begun() {
      const folder = await newFolder();
      {
        await using _begun = await openLogBroker({ folder }, signal);
      }
      return stored(folder);
    },
    async forged({ stream }, entries) {
      const folder = await newFolder();
      for (let known = 1; known < folders; known += 1) {
        const other = join(root.path, String(known));
        await using reader = await openLogReader({ folder: other }, signal);
        if (reader.stream === stream) await cp(join(other, 'stream.json'), join(folder, 'stream.json'));
      }
      {
        await using broker = await openLogBroker({ folder }, signal);
        for (const { epoch, batch } of entries) await broker.append(epoch, batch);
      }
      return stored(folder);
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** What somebody does there who needs no adapter of ours. */
interface Hands {
  readonly kind: Kind;
  readonly adapter: Adapter;
  /** A stream of these records, made by a producer of its own. */
  readonly put: (place: StreamPlace, records: readonly Buffer[]) => Promise<void>;
}

/** A server in the hands of somebody who may write to every stream of it, and remove each. */
async function hostileServer({ kind, adapter, put }: Hands, signal: AbortSignal): Promise<HostileBroker> {
  const opened = new AsyncDisposableStack();
  const { port } = opened.use(await openBrokerServer(kind));
  let streams = 0;
  const newPlace = (): StreamPlace => ({ port, stream: `s${(streams += 1)}` });
  const stored = async (place: StreamPlace): Promise<Stored> => {
    const openReader = () => adapter.openReader(place, signal);
    await using raw = await openReader();
    return {
      stream: raw.stream,
      entries: await all(raw, signal),
      now: () => stored(place),
      async writer(ring) {
        const broker = await adapter.openWriter(place, signal);
        return openSealedBroker({ broker, openReader, ring }, signal);
      },
      reader: async (ring) => openSealedReader(await openReader(), ring),
      async verified(ring) {
        await using reader = openSealedReader(await openReader(), ring);
        for await (const finding of verifyCarried(reader, signal)) if (finding.kind === 'broken') return finding;
        return undefined;
      },
    };
  };
  return {
    async begun() {
      const place = newPlace();
      {
        await using _begun = await adapter.openWriter(place, signal);
      }
      return stored(place);
    },
    async forged({ stream }, entries) {
      const place = newPlace();
      const term = 1;
      const claim = encodeRecord({ kind: 'claim', stream, term, before: emptyState, writer: 'the forger' });
      const packed = entries.map(({ epoch, batch }) => ({ epoch, end: batch.end, payload: encodeBatch(batch) }));
      const { records } = pack(packed, { stream, term, before: emptyState, recordBytesMax: 500_000 });
      await put(place, [claim, ...records]);
      return stored(place);
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

export const hostileNats = (signal: AbortSignal): Promise<HostileBroker> =>
  hostileServer(
    {
      kind: nats,
      adapter: natsAdapter,
      async put({ port, stream }, records) {
        await using admin = await connectNats({ servers: [`nats://127.0.0.1:${port}`], stream });
        const subject = `changeover.${stream}.records`;
        await admin.manager.streams.add({ name: stream, subjects: [subject] });
        for (const record of records) await admin.client.publish(subject, record);
      },
    },
    signal,
  );

export const hostileKafka = (signal: AbortSignal): Promise<HostileBroker> =>
  hostileServer(
    {
      kind: kafka,
      adapter: kafkaAdapter,
      async put({ port, stream: topic }, records) {
        const clients = await kafkaClients({ bootstrap: [`127.0.0.1:${port}`], topic });
        await using opened = new AsyncDisposableStack();
        const admin = opened.adopt(clients.admin(), (one) => one.close());
        const producer = opened.adopt(clients.producer(), (one) => one.close());
        await makeTopic(admin, topic, {});
        for (const value of records) await producer.send({ messages: [{ topic, partition: 0, value }] });
      },
    },
    signal,
  );

const rabbitAt = (port: number, stream: string) => ({
  url: `amqp://guest:guest@127.0.0.1:${port}`,
  stream,
  keepMs: 0,
});

export const hostileRabbit = (signal: AbortSignal): Promise<HostileBroker> =>
  hostileServer(
    {
      kind: rabbitmq,
      adapter: {
        ...rabbitAdapter,
        // Nobody kills it: it need not settle.
        openWriter: ({ port, stream }, until) => openRabbitBroker({ ...rabbitAt(port, stream), settleMs: 0 }, until),
      },
      async put({ port, stream }, records) {
        await using opened = new AsyncDisposableStack();
        const connection = opened.adopt(await connectRabbit(rabbitAt(port, stream)), (one) => one.close());
        const { channel } = opened.use(await openConfirmedLine(connection));
        await channel.assertQueue(stream, { durable: true, arguments: { 'x-queue-type': 'stream' } });
        for (const record of records) channel.sendToQueue(stream, record);
        await channel.waitForConfirms();
      },
    },
    signal,
  );
