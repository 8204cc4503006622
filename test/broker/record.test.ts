import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decodeRecord, emptyState, encodeRecord, type StreamRecord } from '../../src/broker/record.ts';
import { encodeBatch } from '../../src/change/codec.ts';
import { epoch, offset } from '../../src/change/position.ts';
import { isCode } from '../../src/error.ts';
import { position, whole } from './batches.ts';

const head = { stream: 'a29dc9f5-3221-492e-9bc4-36d039c60103', term: 7 };
const before = { next: offset(41), epoch: epoch(2), end: position(40), bytes: 123_456_789_012 };
const payload = encodeBatch(whole(41));
const records: Readonly<Record<string, StreamRecord>> = {
  claim: { kind: 'claim', ...head, before: emptyState, writer: 'ef0b7a43-63a5-4f1f-9c3e-3b9e2f0c1a55' },
  entries: {
    kind: 'entries',
    ...head,
    before,
    entries: [
      { epoch: epoch(2), end: position(41), payload },
      { epoch: epoch(3), end: undefined, payload },
    ],
  },
  part: {
    kind: 'part',
    ...head,
    before,
    index: 2,
    count: 9,
    wholeBytes: 5_000_000,
    epoch: epoch(2),
    end: position(41),
    slice: Buffer.from('a slice of it'),
  },
};

for (const [name, record] of Object.entries(records)) {
  const golden = new URL(`../golden/record-1/${name}.record`, import.meta.url);

  test(`a record of kind ${name} is read as it was written by the first version, and written so still`, () => {
    const bytes = readFileSync(golden);
    assert.deepEqual(decodeRecord(bytes, 'the golden file'), record);
    assert.deepEqual(encodeRecord(record), bytes);
  });

  test(`a record of kind ${name} with any byte changed, or cut short anywhere, is broken`, () => {
    const bytes = readFileSync(golden);
    const broken = (damaged: Buffer, what: string): void =>
      assert.throws(
        () => decodeRecord(damaged, 'here'),
        (error) => isCode(error, 'BROKER_CORRUPT'),
        what,
      );
    for (let at = 0; at < bytes.length; at += 1) {
      const damaged = Buffer.from(bytes);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at);
      broken(damaged, `byte ${at} changed`);
      broken(bytes.subarray(0, at), `cut at ${at}`);
    }
  });
}
