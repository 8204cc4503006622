import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { apply } from '../../src/apply/apply.ts';
import type { Entry } from '../../src/broker/broker.ts';
import { OpeningKeys } from '../../src/broker/seal/data-keys.ts';
import { Opener } from '../../src/broker/seal/open.ts';
import { capture } from '../../src/capture/capture.ts';
import type { Batch } from '../../src/change/change.ts';
import { epoch, offset } from '../../src/change/position.ts';
import { envelopeOf } from '../../src/change/sealed.ts';
import { kafka } from '../../src/demo/kafka.ts';
import { nats } from '../../src/demo/nats.ts';
import { rabbitmq } from '../../src/demo/rabbitmq.ts';
import { ChangeoverError, type Code, isCode } from '../../src/error.ts';
import { type MemorySource, openMemorySource } from '../../src/source/memory/memory.ts';
import { type MemoryTarget, openMemoryTarget } from '../../src/target/memory/memory.ts';
import { content, insert, items } from '../conformance/rows.ts';
import { skipReason } from '../servers/skip.ts';
import { position, wholes } from './batches.ts';
import {
  type Appended,
  type HostileBroker,
  hostileKafka,
  hostileLog,
  hostileNats,
  hostileRabbit,
  type Stored,
  written,
} from './forgery.ts';
import { memoryRing } from './keys.ts';

const never = new AbortController().signal;
const ring = memoryRing();

/** Six entries, the last three of a second epoch. */
const history = (from = 1): Appended[] =>
  wholes(6, from).map((batch, index) => ({ epoch: epoch(index < 3 ? 1 : 2), batch }));

interface Scene {
  /** What the writer left. */
  readonly entries: readonly Entry[];
  /** The same source in another stream, sealed with the same ring. */
  readonly foreign: readonly Entry[];
  /** The stream as it went on in epoch 1, written by a former leader behind its first three entries. */
  readonly fork: readonly Entry[];
}

interface Attack {
  readonly does: string;
  /** Tried also where a stream takes its time to be made: it needs no other stream. */
  readonly everywhere?: true;
  readonly forge: (scene: Scene) => readonly Appended[];
  /** The first entry that is not as it was. */
  readonly names: number;
  readonly code: Code;
  readonly says: RegExp;
}

const pick = (entries: readonly Appended[], ...places: readonly number[]): Appended[] =>
  places.flatMap((place) => entries[place] ?? []);
const put = (entries: readonly Appended[], place: number, one: Partial<Batch>): Appended[] =>
  entries.map((entry, index) => (index === place ? { ...entry, batch: { ...entry.batch, ...one } } : entry));
const inEpoch = (entries: readonly Appended[], leads: number): Appended[] =>
  entries.map(({ batch }) => ({ epoch: epoch(leads), batch }));
/** The envelope of an entry with one bit turned, counted in bytes from its end. */
function flipped(entry: Entry | undefined, fromEnd: number): Batch['changes'] {
  const envelope = Buffer.from((entry && envelopeOf(entry.batch)) ?? []);
  const at = envelope.length - fromEnd;
  envelope.writeUInt8(envelope.readUInt8(at) ^ 1, at);
  return [{ kind: 'sealed', envelope }];
}

const attacks: readonly Attack[] = [
  {
    does: 'flips a bit of what is sealed',
    everywhere: true,
    forge: ({ entries }) => put(entries, 2, { changes: flipped(entries[2], 40) }),
    names: 2,
    code: 'BROKER_TAMPERED',
    says: /its bytes do not match its seal/,
  },
  {
    does: 'flips a bit of the link to the entry before',
    forge: ({ entries: [first, second, ...rest] }) => [
      ...pick(first ? [first] : [], 0),
      ...(second ? [{ ...second, batch: { ...second.batch, changes: flippedLink(second) } }] : []),
      ...rest,
    ],
    names: 1,
    code: 'BROKER_TAMPERED',
    says: /does not follow the entry before it/,
  },
  {
    does: 'drops an entry',
    everywhere: true,
    forge: ({ entries }) => pick(entries, 0, 1, 3, 4, 5),
    names: 2,
    code: 'BROKER_TAMPERED',
    says: /sealed as entry 3; what was before it is missing/,
  },
  {
    does: 'drops the first entries',
    forge: ({ entries }) => pick(entries, 2, 3, 4, 5),
    names: 0,
    code: 'BROKER_TAMPERED',
    says: /sealed as entry 2; what was before it is missing/,
  },
  {
    does: 'swaps two entries',
    everywhere: true,
    forge: ({ entries }) => pick(entries, 0, 2, 1, 3, 4, 5),
    names: 1,
    code: 'BROKER_TAMPERED',
    says: /sealed as entry 2/,
  },
  {
    does: 'doubles an entry',
    everywhere: true,
    forge: ({ entries }) => pick(entries, 0, 1, 1, 2, 3, 4, 5),
    names: 2,
    code: 'BROKER_TAMPERED',
    says: /sealed as entry 1, and is played again/,
  },
  {
    does: "plays an old epoch's entries again, as if they were new",
    everywhere: true,
    forge: ({ entries }) => [...entries, ...inEpoch(pick(entries, 1, 2), 2)],
    names: 6,
    code: 'BROKER_TAMPERED',
    says: /sealed as entry 1, and is played again/,
  },
  {
    does: 'lets an entry that a former leader sealed for this place pass for one of the present leader',
    forge: ({ entries, fork }) => [...pick(entries, 0, 1, 2, 3), ...inEpoch(pick(fork, 4), 2), ...pick(entries, 5)],
    names: 4,
    code: 'BROKER_TAMPERED',
    says: /sealed in epoch 1, not 2/,
  },
  {
    does: 'splices in what the same writer sealed for this place after the tail was cut',
    forge: ({ entries, fork }) => [...pick(entries, 0, 1, 2), ...pick(fork, 3), ...pick(entries, 4, 5)],
    names: 4,
    code: 'BROKER_TAMPERED',
    says: /does not follow the entry before it/,
  },
  {
    does: 'splices in an entry of another stream',
    forge: ({ entries, foreign }) => [...pick(entries, 0, 1), ...pick(foreign, 2), ...pick(entries, 3, 4, 5)],
    names: 2,
    code: 'BROKER_TAMPERED',
    says: /sealed for stream /,
  },
  {
    does: 'puts in an entry of its own',
    forge: ({ entries }) => [...pick(entries, 0, 1), ...pick(history(), 2), ...pick(entries, 3, 4, 5)],
    names: 2,
    code: 'BROKER_NOT_SEALED',
    says: /Entry 2 is not sealed/,
  },
  {
    does: 'lets transactions end elsewhere',
    forge: ({ entries }) => put(put(entries, 2, { end: position(90) }), 3, { after: position(90) }),
    names: 2,
    code: 'BROKER_TAMPERED',
    says: /the positions beside it are not those within/,
  },
  {
    does: 'lets transactions begin elsewhere',
    forge: ({ entries }) => put(entries, 5, { after: position(50) }),
    names: 5,
    code: 'BROKER_TAMPERED',
    says: /the positions beside it are not those within/,
  },
  {
    does: 'lets a transaction pass for a piece of one',
    forge: ({ entries }) => put(entries, 5, { starts: false }),
    names: 5,
    code: 'BROKER_TAMPERED',
    says: /the positions beside it are not those within/,
  },
  {
    does: 'puts a change of its own beside what is sealed',
    forge: ({ entries }) =>
      put(entries, 2, { changes: [...(entries[2]?.batch.changes ?? []), ...(history()[2]?.batch.changes ?? [])] }),
    names: 2,
    code: 'BROKER_NOT_SEALED',
    says: /Entry 2 is not sealed/,
  },
];

function flippedLink(entry: Entry): Batch['changes'] {
  const envelope = Buffer.from(envelopeOf(entry.batch) ?? []);
  // The head ends with it, and begins with its own length.
  const at = 4 + envelope.readUInt32BE(0) - 1;
  envelope.writeUInt8(envelope.readUInt8(at) ^ 1, at);
  return [{ kind: 'sealed', envelope }];
}

/** All that a reader gives before it stops, and what stops it. */
async function readThrough(stored: Stored): Promise<{ readonly given: readonly Entry[]; readonly error: unknown }> {
  await using reader = await stored.reader(ring);
  const { next } = await reader.observe();
  const given: Entry[] = [];
  try {
    for await (const entry of reader.read(offset(0), never)) if (given.push(entry) === next) break;
    return { given, error: undefined };
  } catch (error) {
    return { given, error };
  }
}

const kinds = [
  { name: "the embedded log's files", open: hostileLog, skip: undefined, tried: attacks },
  { name: 'a stream of NATS', open: hostileNats, skip: skipReason(nats), tried: attacks },
  { name: 'a topic of Kafka', open: hostileKafka, skip: skipReason(kafka), tried: attacks },
  {
    name: 'a stream of RabbitMQ',
    open: hostileRabbit,
    skip: skipReason(rabbitmq),
    tried: attacks.filter(({ everywhere }) => everywhere),
  },
];

for (const { name, open, skip, tried } of kinds)
  suite(`in ${name}, whose operator`, { skip: skip ?? false, timeout: 120_000 }, () => {
    let broker: HostileBroker | undefined;
    let stored: Stored | undefined;
    let scene: Scene | undefined;
    const there = () => {
      assert.ok(broker && stored && scene);
      return { broker, stored, scene };
    };
    before(async () => {
      broker = await open(never);
      stored = await written(await broker.begun(), history(), ring);
      const { entries } = stored;
      scene = { entries, foreign: [], fork: [] };
      if (tried !== attacks) return;
      const { entries: foreign } = await written(await broker.begun(), history(), ring);
      const cut = await broker.forged(stored, entries.slice(0, 3));
      const { entries: fork } = await written(cut, inEpoch(history().slice(3), 1), ring);
      scene = { entries, foreign, fork };
    });
    after(() => broker?.[Symbol.asyncDispose]());

    test('changes nothing, all is read and proved, and nothing in it can be read without the key', async () => {
      const { stored: whole, scene: made, broker: at } = there();
      assert.equal(await whole.verified(ring), undefined);
      const { given, error } = await readThrough(whole);
      assert.equal(error, undefined);
      assert.deepEqual(
        given.map(({ batch }) => batch),
        history().map(({ batch }) => batch),
      );
      for (const { batch } of made.entries) assert.ok(!envelopeOf(batch)?.includes('batch '));
      const again = await at.forged(whole, made.entries);
      assert.equal(await again.verified(ring), undefined, 'a copy that is the same is no forgery');
    });

    for (const { does, forge, names, code, says } of tried)
      test(`${does}, that entry is named and nothing of it or behind it is given`, async () => {
        const { broker: at, stored: whole, scene: made } = there();
        const forged = await at.forged(whole, forge(made));
        const verdict = await forged.verified(ring);
        assert.equal(verdict?.offset, names);
        assert.match(verdict?.why ?? '', says);
        const { given, error } = await readThrough(forged);
        assert.ok(error instanceof ChangeoverError, 'nothing was noticed');
        assert.equal(error.code, code);
        assert.match(error.message, new RegExp(`^Entry ${names} `));
        assert.equal(given.length, names);
      });

    test('cuts the tail, neither who has applied more nor the source goes on from there', async () => {
      const { broker: at } = there();
      const stream = await at.begun();
      const source = openMemorySource({ pieceBytesMax: 1_000_000 });
      const target = openMemoryTarget();
      source.create(items);
      await carried(stream, { source, target }, 'x', 'y', 'z');
      assert.deepEqual(content(...target.seen.rowsOf(items)), content(['0', 'x'], ['1', 'y'], ['2', 'z']));
      const whole = await stream.now();
      const cut = await at.forged(whole, whole.entries.slice(0, -1));
      assert.equal(await cut.verified(ring), undefined, 'what is left is right in itself');
      const stopped = (error: unknown, ...codes: Code[]): boolean => isCode(error, ...codes);
      await assert.rejects(applying(cut, target, never), (error) => stopped(error, 'BROKER_GAP'));
      await assert.rejects(capturing(cut, source, never), (error) => stopped(error, 'SOURCE_POSITION_LOST'));
    });
  });

async function applying(from: Stored, target: MemoryTarget, signal: AbortSignal): Promise<void> {
  await using broker = await from.reader(ring);
  await using opened = target.open();
  await apply({ broker, target: opened, consumer: 'it', progressed: () => undefined }, signal);
}

async function capturing(to: Stored, source: MemorySource, signal: AbortSignal): Promise<void> {
  await using broker = await to.writer(ring);
  await using opened = source.open();
  await capture({ source: opened, broker, epoch: epoch(1), progressed: () => undefined }, signal);
}

/** Both agents at work until rows with these values, committed one by one, have come to the target. */
async function carried(
  stream: Stored,
  { source, target }: { readonly source: MemorySource; readonly target: MemoryTarget },
  ...values: readonly string[]
): Promise<void> {
  const stop = new AbortController();
  const { signal } = stop;
  const agents = [capturing(stream, source, signal), applying(stream, target, signal)];
  const ended = Promise.allSettled(agents);
  for (const [index, value] of values.entries()) {
    const { order } = source.commit([insert(items, String(index), value)]);
    const isThere = (): boolean => (target.seen.checkpoint?.position?.order ?? 0n) >= order;
    while (!isThere() || (source.kept?.order ?? 0n) < order) await Promise.race([sleep(5), Promise.all(agents)]);
  }
  stop.abort();
  await ended;
}

test('every bit of an envelope counts', async () => {
  await using broker = await hostileLog(never);
  const { stream, entries } = await written(await broker.begun(), history(), ring);
  const [first] = entries;
  assert.ok(first);
  const envelope = envelopeOf(first.batch);
  assert.ok(envelope);
  const opened = (bytes: Buffer) =>
    new Opener(stream, new OpeningKeys(ring)).open(
      { ...first, batch: { ...first.batch, changes: [{ kind: 'sealed', envelope: bytes }] } },
      never,
    );
  await opened(envelope);
  for (let at = 0; at < envelope.length; at += 1) {
    const bit = 1 << (at % 8);
    const bytes = Buffer.from(envelope);
    bytes.writeUInt8(bytes.readUInt8(at) ^ bit, at);
    await assert.rejects(
      opened(bytes),
      (error) => isCode(error, 'BROKER_TAMPERED', 'BROKER_KEY_MISSING'),
      `byte ${at}`,
    );
  }
  for (let length = 0; length < envelope.length; length += 1)
    await assert.rejects(
      opened(envelope.subarray(0, length)),
      (error) => isCode(error, 'BROKER_TAMPERED'),
      `${length}`,
    );
});
