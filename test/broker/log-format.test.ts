import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  crcSeed,
  type DurableEnd,
  decodeEnd,
  decodeSegmentHead,
  type EntryFields,
  encodeEnd,
  encodeSegmentHead,
  entryHeadBytes,
  type LogState,
  linkAfter,
  misfit,
  noChain,
  parseEntry,
  provesDurable,
  writeEntry,
} from '../../src/broker/log/format.ts';
import { openLogReader } from '../../src/broker/log/reader.ts';
import { openLogBroker } from '../../src/broker/log/writer.ts';
import { epoch, offset } from '../../src/change/position.ts';
import { take } from '../conformance/broker.ts';
import { piece, position, whole } from './batches.ts';
import { copyOf, verdictOn } from './folder.ts';

const seed = crcSeed('a stream');
const safe = fc.maxSafeNat();
const fields: fc.Arbitrary<EntryFields> = fc
  .record({ offset: safe, epoch: fc.integer({ min: 1 }), appendedAtMs: safe, durable: safe, hasEnd: fc.boolean() })
  .chain((numbers) =>
    fc.uint8Array({ maxLength: 300 }).map((payload) => ({
      ...numbers,
      offset: offset(numbers.offset),
      epoch: epoch(numbers.epoch),
      payload: Buffer.from(payload),
    })),
  );

const written = (entry: EntryFields, previous = noChain): Buffer => {
  const bytes = Buffer.alloc(entryHeadBytes + entry.payload.length);
  writeEntry(bytes, 0, entry, previous, seed);
  return bytes;
};

test('an entry comes back from its bytes as it was, wherever it stands', () => {
  fc.assert(
    fc.property(fields, fc.nat({ max: 50 }), (entry, before) => {
      const bytes = Buffer.concat([Buffer.alloc(before), written(entry), Buffer.alloc(9)]);
      const parsed = parseEntry(bytes, before, seed);
      assert.ok(parsed.kind === 'entry');
      const { chain: _, whole: all, ...found } = parsed.entry;
      assert.deepEqual(found, entry);
      assert.equal(all.length, entryHeadBytes + entry.payload.length);
    }),
  );
});

test('an entry with any bit turned, or of another stream, is none', () => {
  fc.assert(
    fc.property(fields, fc.nat(), (entry, place) => {
      const bytes = written(entry);
      assert.equal(parseEntry(bytes, 0, crcSeed('another stream')).kind, 'broken');
      const bit = place % (bytes.length * 8);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.notEqual(parseEntry(bytes, 0, seed).kind, 'entry');
    }),
  );
});

test('an entry cut short asks for as many bytes as it has', () => {
  const bytes = written({
    offset: offset(7),
    epoch: epoch(1),
    appendedAtMs: 0,
    durable: 0,
    hasEnd: true,
    payload: Buffer.from('payload'),
  });
  for (let length = 0; length < bytes.length; length += 1) {
    const parsed = parseEntry(bytes.subarray(0, length), 0, seed);
    assert.deepEqual(parsed, { kind: 'short', bytes: length < entryHeadBytes ? entryHeadBytes : bytes.length });
  }
});

test('an entry fits behind the one it was written behind, and nowhere else', () => {
  fc.assert(
    fc.property(fields, (entry) => {
      fc.pre(entry.offset < Number.MAX_SAFE_INTEGER);
      const parsed = parseEntry(written(entry, Buffer.alloc(32, 1)), 0, seed);
      assert.ok(parsed.kind === 'entry');
      const before = { next: entry.offset, epoch: entry.epoch, chain: Buffer.alloc(32, 1) };
      assert.equal(misfit(parsed.entry, before), undefined);
      assert.match(misfit(parsed.entry, linkAfter(parsed.entry)) ?? '', /it calls itself/);
      assert.match(misfit(parsed.entry, { ...before, chain: noChain }) ?? '', /chain breaks/);
      assert.match(misfit(parsed.entry, { ...before, epoch: epoch(entry.epoch + 1) }) ?? '', /^epoch/);
    }),
  );
});

test('an entry proves durable what lay before its group, not what lay in it', () => {
  const entry = { offset: offset(3), epoch: epoch(1), appendedAtMs: 0, durable: 100, hasEnd: false };
  const bytes = Buffer.concat([Buffer.alloc(20, 0xc4), written({ ...entry, payload: Buffer.alloc(50) })]);
  assert.deepEqual(
    [99, 100, 101].map((damaged) => provesDurable(bytes, 90, damaged, seed)),
    [true, false, false],
  );
  // It cannot have known of bytes behind itself: no entry of this file.
  assert.equal(provesDurable(bytes, 0, 50, seed), false);
});

test('heads and ends come back from their bytes, and are refused with a bit turned or cut short', () => {
  const state: LogState = { next: offset(5), epoch: epoch(2), chain: Buffer.alloc(32, 7), end: position(4) };
  const blank: LogState = { next: offset(0), epoch: undefined, chain: noChain, end: undefined };
  for (const before of [state, blank]) {
    const head = { stream: 'a stream', createdAtMs: 1, before };
    const end: DurableEnd = { stream: 'a stream', segment: offset(3), position: 999, state: before };
    assert.deepEqual(decodeSegmentHead(encodeSegmentHead(head))?.head, head);
    assert.deepEqual(decodeEnd(encodeEnd(end)), end);
    for (const [bytes, decode] of [
      [encodeSegmentHead(head), decodeSegmentHead] as const,
      [encodeEnd(end), decodeEnd] as const,
    ])
      for (let at = 0; at < bytes.length; at += 1) {
        const turned = Buffer.from(bytes);
        turned[at] = (turned[at] ?? 0) ^ 1;
        assert.equal(decode(turned), undefined);
        assert.equal(decode(bytes.subarray(0, at)), undefined);
      }
  }
});

const golden = new URL('../golden/log-1', import.meta.url).pathname;
const kept = [whole(1), piece(2, 'starts'), whole(2), whole(3, 700), whole(4)];

test('a log of format 1 is read, verified and continued', async ({ signal }) => {
  await using folder = await copyOf(golden);
  const verdict = await verdictOn(folder.path, signal);
  assert.ok(verdict?.kind === 'whole');
  assert.deepEqual(verdict.total, { segments: 3, entries: 5, bytes: 2030 });
  await using writer = await openLogBroker({ folder: folder.path }, signal);
  assert.deepEqual(await writer.tail(), position(4));
  assert.equal(await writer.append(epoch(2), whole(5)), 5);
  await using reader = await openLogReader({ folder: folder.path }, signal);
  const entries = await take(reader, 0, 6, signal);
  assert.deepEqual(
    entries.map((entry) => entry.batch),
    [...kept, whole(5)],
  );
  assert.deepEqual(
    entries.map((entry) => entry.epoch),
    [1, 1, 1, 2, 2, 2],
  );
});

test('what is written today has the bytes of format 1', async () => {
  const { stream } = JSON.parse(await readFile(join(golden, 'stream.json'), 'utf8')) as { stream: string };
  const bytes = await readFile(join(golden, '00000000000000000000.segment'));
  const found = decodeSegmentHead(bytes);
  assert.ok(found);
  const again = Buffer.alloc(bytes.length);
  encodeSegmentHead(found.head).copy(again);
  let chain = found.head.before.chain;
  for (let at = found.headBytes; at < bytes.length; ) {
    const parsed = parseEntry(bytes, at, crcSeed(stream));
    assert.ok(parsed.kind === 'entry');
    chain = writeEntry(again, at, parsed.entry, chain, crcSeed(stream));
    at += parsed.entry.whole.length;
  }
  assert.deepEqual(again, bytes);
});
