import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Broker, BrokerReader, Entry } from '../../src/broker/broker.ts';
import { verifyCarried } from '../../src/broker/carried-verify.ts';
import type { KeyRing } from '../../src/broker/key-ring.ts';
import { openLogReader } from '../../src/broker/log/reader.ts';
import { verifyLog } from '../../src/broker/log/verify.ts';
import { openLogBroker } from '../../src/broker/log/writer.ts';
import { openNatsBroker, openNatsReader } from '../../src/broker/nats/carrier.ts';
import { connectNats } from '../../src/broker/nats/connect.ts';
import { pack } from '../../src/broker/pack.ts';
import { emptyState, encodeRecord } from '../../src/broker/record.ts';
import { OpeningKeys } from '../../src/broker/seal/data-keys.ts';
import { Opener } from '../../src/broker/seal/open.ts';
import { openSealedReader } from '../../src/broker/seal/reader.ts';
import { openSealedBroker } from '../../src/broker/seal/writer.ts';
import type { Batch } from '../../src/change/change.ts';
import { encodeBatch } from '../../src/change/codec.ts';
import { type Epoch, offset } from '../../src/change/position.ts';
import { type BrokerServer, openBrokerServer } from '../servers/broker-server.ts';
import { nats } from '../servers/nats.ts';
import { temporaryFolder } from './folder.ts';

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

/** NATS, in the hands of somebody who may publish to every subject and remove every stream. */
export async function hostileNats(signal: AbortSignal): Promise<HostileBroker> {
  const opened = new AsyncDisposableStack();
  const server: BrokerServer = opened.use(await openBrokerServer(nats));
  let streams = 0;
  const placeOf = (name: string) => ({ servers: [`nats://127.0.0.1:${server.port}`], stream: name });
  const stored = async (name: string): Promise<Stored> => {
    const place = placeOf(name);
    const openReader = () => openNatsReader(place, signal);
    await using raw = await openReader();
    return {
      stream: raw.stream,
      entries: await all(raw, signal),
      now: () => stored(name),
      async writer(ring) {
        const broker = await openNatsBroker(place, signal);
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
      const name = `s${(streams += 1)}`;
      {
        await using _begun = await openNatsBroker(placeOf(name), signal);
      }
      return stored(name);
    },
    async forged({ stream }, entries) {
      const name = `s${(streams += 1)}`;
      await using admin = await connectNats(placeOf(name));
      const subject = `changeover.${name}.records`;
      await admin.manager.streams.add({ name, subjects: [subject] });
      const term = 1;
      const claim = encodeRecord({ kind: 'claim', stream, term, before: emptyState, writer: 'the forger' });
      const packed = entries.map(({ epoch, batch }) => ({ epoch, end: batch.end, payload: encodeBatch(batch) }));
      const { records } = pack(packed, { stream, term, before: emptyState, recordBytesMax: 500_000 });
      for (const record of [claim, ...records]) await admin.client.publish(subject, record);
      return stored(name);
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
