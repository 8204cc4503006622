import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import type { Broker, BrokerReader, Entry } from '../../src/broker/broker.ts';
import type { Batch } from '../../src/change/change.ts';
import { epoch, offset } from '../../src/change/position.ts';
import { type Code, isCode } from '../../src/error.ts';
import { first, piece, position, whole, wholes } from '../broker/batches.ts';

/** One stream, and what a test needs to get at it. It should trim what is released as soon as a writer opens. */
export interface BrokerUnderTest extends AsyncDisposable {
  openWriter(signal: AbortSignal): Promise<Broker>;
  openReader(signal: AbortSignal): Promise<BrokerReader>;
  /** The stream as a crash of everything at this moment would leave it. */
  afterCrash(): Promise<BrokerUnderTest>;
}

export interface ConformanceOptions {
  readonly timeoutMs?: number;
  /** How often the stream is begun anew over what a crash would leave. 0: its own tests do that, by killing it. */
  readonly crashes?: number;
  /** Whether what is released is trimmed, or the broker forgets by rules of its own. */
  readonly trimming?: 'released' | 'own';
}

/** Registers what every broker must do, over the one that `open` makes. */
export function brokerConformance(
  name: string,
  open: () => Promise<BrokerUnderTest>,
  { timeoutMs = 60_000, crashes = 5, trimming = 'released' }: ConformanceOptions = {},
): void {
  suite(`the broker ${name}`, { timeout: timeoutMs }, () => {
    writing(open, crashes);
    reading(open);
    waiting(open);
    if (trimming === 'released') trimmed(open);
    letting(open);
  });
}

type Open = () => Promise<BrokerUnderTest>;

const rejects = (promise: Promise<unknown>, code: Code): Promise<void> =>
  assert.rejects(promise, (error) => isCode(error, code));

/** The next `count` entries from `from` on. */
export async function take(reader: BrokerReader, from: number, count: number, signal: AbortSignal): Promise<Entry[]> {
  const entries: Entry[] = [];
  if (count === 0) return entries;
  for await (const entry of reader.read(offset(from), signal)) if (entries.push(entry) >= count) break;
  return entries;
}

const offsetsOf = (entries: readonly Entry[]): number[] => entries.map((entry) => entry.offset);
const batchesOf = (entries: readonly Entry[]): Batch[] => entries.map((entry) => entry.batch);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

async function appendAll(writer: Broker, batches: readonly Batch[]): Promise<void> {
  await Promise.all(batches.map((batch) => writer.append(first, batch)));
}

function writing(open: Open, crashes: number): void {
  test('keeps batches in the order of their appends and gives them back as they were', async ({ signal }) => {
    await using broker = await open();
    await using writer = await broker.openWriter(signal);
    const given = [whole(1), piece(2, 'starts'), whole(2), whole(3, 0)];
    for (const [index, batch] of given.entries()) assert.equal(await writer.append(first, batch), index);
    await using reader = await broker.openReader(signal);
    const entries = await take(reader, 0, 4, signal);
    assert.deepEqual(batchesOf(entries), given);
    assert.deepEqual(offsetsOf(entries), [0, 1, 2, 3]);
    assert.equal(reader.stream, writer.stream);
  });

  const crashing = 'an append has resolved only when a crash leaves the batch there';
  const afterCrashes = async ({ signal }: TestContext): Promise<void> => {
    await using broker = await open();
    await using writer = await broker.openWriter(signal);
    for (const batch of wholes(crashes)) {
      const at = await writer.append(first, batch);
      await using left = await broker.afterCrash();
      await using again = await left.openWriter(signal);
      assert.deepEqual(await again.tail(), batch.end);
      await using reader = await left.openReader(signal);
      assert.deepEqual(batchesOf(await take(reader, at, 1, signal)), [batch]);
    }
  };
  if (crashes > 0) test(crashing, afterCrashes);

  test('appends made at once get offsets in the order of the calls', async ({ signal }) => {
    await using broker = await open();
    await using writer = await broker.openWriter(signal);
    const offsets = await Promise.all(wholes(500).map((batch) => writer.append(first, batch)));
    assert.deepEqual(offsets, upTo(500));
    await using reader = await broker.openReader(signal);
    assert.deepEqual(batchesOf(await take(reader, 0, 500, signal)), wholes(500));
  });

  test('a batch of an older epoch is fenced off, then and after a restart, and leaves no trace', async ({ signal }) => {
    await using broker = await open();
    {
      await using writer = await broker.openWriter(signal);
      await writer.append(epoch(1), whole(1));
      const [second, late] = await Promise.allSettled([
        writer.append(epoch(2), whole(2)),
        writer.append(epoch(1), whole(9)),
      ]);
      assert.equal(second.status === 'fulfilled' && second.value, 1);
      assert.ok(late.status === 'rejected' && isCode(late.reason, 'EPOCH_FENCED'));
    }
    await using writer = await broker.openWriter(signal);
    await rejects(writer.append(epoch(1), whole(9)), 'EPOCH_FENCED');
    assert.equal(await writer.append(epoch(2), whole(3)), 2);
    await using reader = await broker.openReader(signal);
    const entries = await take(reader, 0, 3, signal);
    assert.deepEqual(batchesOf(entries), wholes(3));
    assert.deepEqual(
      entries.map((entry) => entry.epoch),
      [1, 2, 2],
    );
  });

  test('has one writer at a time', async ({ signal }) => {
    await using broker = await open();
    {
      await using _writer = await broker.openWriter(signal);
      await rejects((async () => broker.openWriter(signal))(), 'BROKER_LOCKED');
    }
    await using writer = await broker.openWriter(signal);
    assert.equal(await writer.append(first, whole(1)), 0);
  });

  test('the tail is the last end: pieces without one do not move it, also over a restart', async ({ signal }) => {
    await using broker = await open();
    {
      await using writer = await broker.openWriter(signal);
      assert.equal(await writer.tail(), undefined);
      await writer.append(first, piece(1, 'starts'));
      assert.equal(await writer.tail(), undefined);
      await writer.append(first, whole(1));
      await appendAll(writer, [piece(2, 'starts'), ...upTo(40).map(() => piece(2, 'continues'))]);
      assert.deepEqual(await writer.tail(), position(1));
    }
    await using writer = await broker.openWriter(signal);
    assert.deepEqual(await writer.tail(), position(1));
  });
}

function reading(open: Open): void {
  test('replays from any offset', async ({ signal }) => {
    await using broker = await open();
    await using writer = await broker.openWriter(signal);
    await appendAll(writer, wholes(60, 1, 3000));
    await using reader = await broker.openReader(signal);
    for (const from of [0, 1, 29, 58, 59])
      assert.deepEqual(batchesOf(await take(reader, from, 60 - from, signal)), wholes(60 - from, from + 1, 3000));
  });

  test('carries a batch of 20 MB between small ones', async ({ signal }) => {
    await using broker = await open();
    await using writer = await broker.openWriter(signal);
    const given = [whole(1), whole(2, 20_000_000), whole(3)];
    await appendAll(writer, given);
    await using reader = await broker.openReader(signal);
    const entries = await take(reader, 0, 3, signal);
    assert.ok(batchesOf(entries).every((batch, index) => isEqual(batch, given[index])));
  });

  test('carries 20,000 small batches', async ({ signal }) => {
    await using broker = await open();
    await using writer = await broker.openWriter(signal);
    await appendAll(writer, wholes(20_000));
    await using reader = await broker.openReader(signal);
    const entries = await take(reader, 0, 20_000, signal);
    assert.ok(entries.every(({ offset, batch }) => batch.end?.order === BigInt(offset + 1)));
  });

  test('two readers go at their own speed', async ({ signal }) => {
    await using broker = await open();
    await using writer = await broker.openWriter(signal);
    await using slow = await broker.openReader(signal);
    await using fast = await broker.openReader(signal);
    await appendAll(writer, wholes(100, 1, 2000));
    const stepwise = slow.read(offset(0), signal)[Symbol.asyncIterator]();
    for (let done = 0; done < 5; done += 1) {
      const one = await stepwise.next();
      assert.equal(!one.done && one.value.offset, done);
      assert.deepEqual(offsetsOf(await take(fast, 0, 100, signal)), upTo(100));
    }
    await stepwise.return?.();
  });

  test('refuses to read behind the end', async ({ signal }) => {
    await using broker = await open();
    await using writer = await broker.openWriter(signal);
    await writer.append(first, whole(1));
    await using reader = await broker.openReader(signal);
    await rejects(take(reader, 2, 1, signal), 'BROKER_GAP');
  });

  test('says what it holds', async ({ signal }) => {
    await using broker = await open();
    await using writer = await broker.openWriter(signal);
    await using reader = await broker.openReader(signal);
    const empty = await reader.observe();
    assert.deepEqual(
      [empty.first, empty.next, empty.epoch, empty.end, await empty.bytesFrom(offset(0))],
      [0, 0, undefined, undefined, 0],
    );
    await appendAll(writer, [...wholes(50, 1, 5000), piece(51, 'starts')]);
    const seen = await reader.observe();
    assert.deepEqual([seen.stream, seen.first, seen.next], [writer.stream, 0, 51]);
    assert.deepEqual([seen.epoch, seen.end], [1, position(50)]);
    assert.ok(seen.bytes > 250_000 && seen.bytes < 300_000, `${seen.bytes} bytes`);
    const left = await Promise.all([0, 10, 49, 51].map((from) => seen.bytesFrom(offset(from))));
    // A seal has some bytes of its own for each entry.
    for (const [index, about] of [250_000, 200_000, 5000, 0].entries())
      assert.ok(Math.abs((left[index] ?? Number.NaN) - about) <= about * 0.2, `${left[index]} for ${about}`);
  });
}

function waiting(open: Open): void {
  test('a reader of an empty stream waits and wakes', async ({ signal }) => {
    await using broker = await open();
    await using writer = await broker.openWriter(signal);
    await using reader = await broker.openReader(signal);
    const waiting = take(reader, 0, 1, signal);
    await writer.append(first, whole(1));
    assert.deepEqual(batchesOf(await waiting), [whole(1)]);
  });

  test('a reader at the end gets each new batch as it comes', async ({ signal }) => {
    await using broker = await open();
    await using writer = await broker.openWriter(signal);
    await using reader = await broker.openReader(signal);
    const entries = reader.read(offset(0), signal)[Symbol.asyncIterator]();
    for (const batch of wholes(50)) {
      // Asked for before it is there.
      const coming = entries.next();
      await writer.append(first, batch);
      const { value } = await coming;
      assert.deepEqual(value?.batch, batch);
    }
    await entries.return?.();
  });

  test('an abort ends a waiting read at once', async ({ signal }) => {
    await using broker = await open();
    await using writer = await broker.openWriter(signal);
    await writer.append(first, whole(1));
    await using reader = await broker.openReader(signal);
    const leave = new AbortController();
    const seen: number[] = [];
    for await (const entry of reader.read(offset(0), leave.signal)) {
      seen.push(entry.offset);
      setImmediate(() => leave.abort());
    }
    assert.deepEqual(seen, [0]);
    assert.deepEqual(await take(reader, 0, 1, AbortSignal.abort()), []);
  });

  test('closing a reader ends what waits in it', async ({ signal }) => {
    await using broker = await open();
    await using _writer = await broker.openWriter(signal);
    const reader = await broker.openReader(signal);
    const waiting = take(reader, 0, 1, signal);
    setImmediate(() => void reader[Symbol.asyncDispose]());
    assert.deepEqual(await waiting, []);
    await reader[Symbol.asyncDispose]();
  });

  test('a reader lives through a restart of the writer', async ({ signal }) => {
    await using broker = await open();
    {
      await using writer = await broker.openWriter(signal);
      await appendAll(writer, wholes(3));
    }
    await using reader = await broker.openReader(signal);
    const reading = take(reader, 0, 6, signal);
    await using writer = await broker.openWriter(signal);
    await appendAll(writer, wholes(3, 4));
    assert.deepEqual(batchesOf(await reading), wholes(6));
  });
}

/** Bytes by bytes: deepEqual would look at millions of them one by one. */
const isEqual = (a: Batch | undefined, b: Batch | undefined): boolean => {
  const [x, y] = [a?.changes[0], b?.changes[0]];
  return (
    x?.kind === 'message' && y?.kind === 'message' && x.content.equals(y.content) && a?.end?.order === b?.end?.order
  );
};

/** Forty transactions in entries of their own. */
const fill = async (broker: BrokerUnderTest, signal: AbortSignal): Promise<void> => {
  await using writer = await broker.openWriter(signal);
  for (const batch of wholes(40, 1, 10_000)) await writer.append(first, batch);
};
const release = async (broker: BrokerUnderTest, consumers: Record<string, number>, signal: AbortSignal) => {
  await using reader = await broker.openReader(signal);
  for (const [consumer, from] of Object.entries(consumers)) await reader.release(consumer, offset(from));
};
const firstOf = async (broker: BrokerUnderTest, signal: AbortSignal): Promise<number> => {
  await using writer = await broker.openWriter(signal);
  await using reader = await broker.openReader(signal);
  const { first, next } = await reader.observe();
  assert.equal(next, 40);
  assert.equal((await writer.tail())?.order, 40n);
  return first;
};

function trimmed(open: Open): void {
  test('trims nothing that a consumer has not released, and nothing while there is none', async ({ signal }) => {
    await using broker = await open();
    await fill(broker, signal);
    assert.equal(await firstOf(broker, signal), 0);
    await release(broker, { far: 0, near: 40 }, signal);
    assert.equal(await firstOf(broker, signal), 0);
    await release(broker, { far: 25 }, signal);
    const kept = await firstOf(broker, signal);
    assert.ok(kept > 0 && kept <= 25, `first is ${kept}`);
  });

  test('what was trimmed is a gap to who asks for it, and all else is there', async ({ signal }) => {
    await using broker = await open();
    await fill(broker, signal);
    await release(broker, { only: 30 }, signal);
    const kept = await firstOf(broker, signal);
    await using reader = await broker.openReader(signal);
    await rejects(take(reader, 0, 1, signal), 'BROKER_GAP');
    await rejects(take(reader, kept - 1, 1, signal), 'BROKER_GAP');
    assert.deepEqual(batchesOf(await take(reader, kept, 40 - kept, signal)), wholes(40 - kept, kept + 1, 10_000));
  });
}

function letting(open: Open): void {
  test('everything released, the stream goes on where it stood', async ({ signal }) => {
    await using broker = await open();
    await fill(broker, signal);
    await release(broker, { only: 40 }, signal);
    await using writer = await broker.openWriter(signal);
    assert.deepEqual(await writer.tail(), position(40));
    assert.equal(await writer.append(first, whole(41)), 40);
    await using reader = await broker.openReader(signal);
    assert.deepEqual(batchesOf(await take(reader, 40, 1, signal)), [whole(41)]);
  });
}
