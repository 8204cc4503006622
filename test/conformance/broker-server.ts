import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Broker, BrokerReader } from '../../src/broker/broker.ts';
import { offset } from '../../src/change/position.ts';
import { type BrokerServer, type Kind, openBrokerServer } from '../../src/demo/broker-server.ts';
import { isCode } from '../../src/error.ts';
import { first, whole, wholes } from '../broker/batches.ts';
import { skipReason } from '../servers/skip.ts';
import { type BrokerUnderTest, brokerConformance, take } from './broker.ts';
import { openFarWriter } from './far-writer.ts';

export interface StreamPlace {
  readonly port: number;
  readonly stream: string;
}

/** What is tested. A module exports it as `adapter`, so that other processes find it, too. */
export interface Adapter {
  openWriter(place: StreamPlace, signal: AbortSignal): Promise<Broker>;
  openReader(place: StreamPlace, signal: AbortSignal): Promise<BrokerReader>;
  /** Before the first writer. */
  prepare?(place: StreamPlace, signal: AbortSignal): Promise<void>;
}

export interface ServerConformance {
  readonly name: string;
  readonly kind: Kind;
  /** How often the server is begun anew over what a crash would leave. Default 5; fewer where it takes its time to start. */
  readonly crashes?: number;
  /** Whether what is released is trimmed, or the server forgets by rules of its own. Default `released`. */
  readonly trimming?: 'released' | 'own';
  /** Module of the adapter. */
  readonly adapter: URL;
}

/** As who supervises does it: a server that has just come up may take connections before it finds its streams. */
async function patiently<T>(open: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const untilMs = performance.now() + 60_000;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!isCode(error, 'BROKER_UNREACHABLE') || performance.now() > untilMs) throw error;
      await sleep(100, undefined, { signal });
    }
  }
}

/** Only what is still held counts, and the memory of what is not is given back a moment after the collector was there. */
async function holdsAtMost(bytesMax: number): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const untilMs = performance.now() + 10_000;
  for (;;) {
    collect();
    await turn();
    const { arrayBuffers } = process.memoryUsage();
    if (arrayBuffers <= bytesMax) return;
    assert.ok(performance.now() < untilMs, `${arrayBuffers} bytes are held`);
  }
}

/** Registers what every broker must do, and what one must do whose server can be killed, over a real server. */
export function brokerServerConformance({
  name,
  kind,
  crashes = 5,
  trimming = 'released',
  adapter: module,
}: ServerConformance): void {
  const skip = skipReason(kind);
  if (skip !== undefined) {
    test(`the broker ${name}`, { skip }, () => undefined);
    return;
  }
  let server: BrokerServer | undefined;
  let adapter: Adapter | undefined;
  let streams = 0;
  before(async () => {
    assert.equal(kind.missing(), undefined);
    adapter = ((await import(module.href)) as { adapter: Adapter }).adapter;
    server = await openBrokerServer(kind);
  });
  after(() => server?.[Symbol.asyncDispose]());
  const there = (): { readonly server: BrokerServer; readonly adapter: Adapter } => {
    assert.ok(server && adapter, 'The server is there only while tests run');
    return { server, adapter };
  };

  const underTest = (at: BrokerServer, stream: string, own?: AsyncDisposable): BrokerUnderTest => ({
    openWriter: (signal) => patiently(() => there().adapter.openWriter({ port: at.port, stream }, signal), signal),
    openReader: (signal) => patiently(() => there().adapter.openReader({ port: at.port, stream }, signal), signal),
    async afterCrash() {
      const copy = await at.copy();
      return underTest(copy, stream, copy);
    },
    async [Symbol.asyncDispose]() {
      await own?.[Symbol.asyncDispose]();
    },
  });
  const newStream = (): string => {
    streams += 1;
    return `s${streams}`;
  };
  brokerConformance(name, async () => underTest(there().server, newStream()), {
    timeoutMs: 600_000,
    crashes,
    trimming,
  });

  suite(`the broker ${name}, whose server fails`, { timeout: 600_000 }, () => {
    const open = async () => {
      const { server: at, adapter: by } = there();
      await at.start();
      const stream = newStream();
      const place = { port: at.port, stream };
      return {
        at,
        place,
        writer: (signal: AbortSignal) => patiently(() => by.openWriter(place, signal), signal),
        reader: (signal: AbortSignal) => patiently(() => by.openReader(place, signal), signal),
      };
    };

    test('a backlog of many small records is read without a rest', async ({ signal }) => {
      const { writer, reader } = await open();
      await using one = await writer(signal);
      // Each alone, so that each is a record: more than any server or client hands over at a time by default.
      for (const batch of wholes(150)) await one.append(first, batch);
      await using other = await reader(signal);
      const entries = await take(other, offset(0), 150, signal);
      assert.deepEqual(entries.at(-1)?.batch.end, whole(150).end);
    });

    test('SIGKILL of the server right after an append leaves what was appended', async ({ signal }) => {
      const { at, writer, reader } = await open();
      for (const batch of [whole(1), whole(2, 3_000_000)]) {
        {
          await using one = await writer(signal);
          await one.append(first, batch);
          await at.kill();
        }
        await at.start();
        await using again = await writer(signal);
        assert.deepEqual(await again.tail(), batch.end);
      }
      await using one = await reader(signal);
      const [, second] = await take(one, 0, 2, signal);
      assert.equal(second?.batch.end?.order, 2n);
    });

    test('a server that is not there is unreachable, to be tried again', async ({ signal }) => {
      const { at, place } = await open();
      await at.kill();
      const { adapter: by } = there();
      for (const opening of [() => by.openWriter(place, signal), () => by.openReader(place, signal)])
        await assert.rejects(opening(), (error) => isCode(error, 'BROKER_UNREACHABLE'));
    });

    test('killed during appends: what was acknowledged is there once, and the rest follows the tail', async ({
      signal,
    }) => {
      const { at, writer, reader } = await open();
      let acknowledged = 0;
      {
        await using one = await writer(signal);
        const appending = (async () => {
          for (const batch of wholes(100_000)) {
            await one.append(first, batch);
            acknowledged += 1;
            if (acknowledged === 50) void at.kill();
          }
        })();
        await assert.rejects(appending, (error) => isCode(error, 'BROKER_UNREACHABLE'));
        await assert.rejects(one.append(first, whole(1)), (error) => isCode(error, 'BROKER_UNREACHABLE'));
        await at.kill();
      }
      await at.start();
      await using one = await writer(signal);
      const tail = Number((await one.tail())?.order);
      assert.ok(tail >= acknowledged, `${acknowledged} were acknowledged, the tail is ${tail}`);
      assert.equal(await one.append(first, whole(tail + 1)), tail);
      await using other = await reader(signal);
      const entries = await take(other, 0, tail + 1, signal);
      assert.deepEqual(
        entries.map(({ batch }) => batch),
        wholes(tail + 1),
      );
    });

    test('killed during a read: the reader says so, and another one goes on from where it was', async ({ signal }) => {
      const { at, writer, reader } = await open();
      {
        await using one = await writer(signal);
        await one.append(first, whole(1));
        await using other = await reader(signal);
        const entries = other.read(offset(0), signal)[Symbol.asyncIterator]();
        assert.equal((await entries.next()).value?.offset, 0);
        const coming = entries.next();
        const failing = assert.rejects(coming, (error) => isCode(error, 'BROKER_UNREACHABLE'));
        await at.kill();
        await failing;
      }
      await at.start();
      await using other = await reader(signal);
      const coming = take(other, 1, 1, signal);
      await using one = await writer(signal);
      await one.append(first, whole(2));
      assert.deepEqual(
        (await coming).map(({ batch }) => batch),
        [whole(2)],
      );
    });

    test('a writer that was frozen and followed can write nothing that anybody reads', async ({ signal }) => {
      const { writer, reader, place } = await open();
      await using frozen = await openFarWriter({ module, place });
      assert.equal(await frozen.append(1, 1), '0');
      frozen.freeze();
      await using one = await writer(signal);
      assert.equal(await one.append(first, whole(2)), 1);
      frozen.thaw();
      assert.match(await frozen.append(1, 9), /^(BROKER_LOCKED|BROKER_UNREACHABLE|EPOCH_FENCED)$/);
      assert.equal(await one.append(first, whole(3)), 2);
      await using other = await reader(signal);
      assert.deepEqual(
        (await take(other, 0, 3, signal)).map(({ batch }) => batch),
        wholes(3),
      );
    });

    test('a slow reader of a long stream holds little of it', async ({ signal }) => {
      const { writer, reader } = await open();
      {
        await using one = await writer(signal);
        for (const batch of wholes(150, 1, 1_000_000)) await one.append(first, batch);
      }
      await using slow = await reader(signal);
      const entries = slow.read(offset(0), signal)[Symbol.asyncIterator]();
      await entries.next();
      await using fast = await reader(signal);
      for await (const entry of fast.read(offset(0), signal)) if (entry.offset === 149) break;
      await holdsAtMost(100_000_000);
      assert.equal((await entries.next()).value?.offset, 1);
      await entries.return?.();
    });
  });
}
