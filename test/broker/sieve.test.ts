import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { pack } from '../../src/broker/pack.ts';
import { decodeRecord, emptyState, encodeRecord, type PackedEntry, type StreamState } from '../../src/broker/record.ts';
import { Sieve } from '../../src/broker/sieve.ts';
import { encodeBatch } from '../../src/change/codec.ts';
import { epoch } from '../../src/change/position.ts';
import { type Code, isCode } from '../../src/error.ts';
import { whole } from './batches.ts';

const packed = (order: number, bytes = 40, leads = 1): PackedEntry => {
  const batch = whole(order, bytes);
  return { epoch: epoch(leads), end: batch.end, payload: encodeBatch(batch) };
};

/** A writer as it stands at the server: what it sends goes on from where it believes the stream to be. */
function writer(term: number, before: StreamState, stream = 'one') {
  let state = before;
  return {
    claim: () => encodeRecord({ kind: 'claim', stream, term, before, writer: `writer ${term}` }),
    send(...entries: readonly PackedEntry[]): readonly Buffer[] {
      const { records, after } = pack(entries, { stream, term, before: state, recordBytesMax: 2000 });
      state = after;
      return records;
    },
    state: () => state,
  };
}

/** The orders of the transactions that come through. */
function sifted(records: readonly Buffer[], sieve = new Sieve('test')): readonly number[] {
  return records.flatMap((bytes, place) =>
    sieve.take(decodeRecord(bytes, `${place}`), place).map(({ end }) => Number(end?.order)),
  );
}

const throws = (code: Code, run: () => unknown): void => assert.throws(run, (error) => isCode(error, code));

suite('the sieve', () => {
  test('what a retry put there twice comes once, parts too', () => {
    const one = writer(1, emptyState);
    const [a, b, c] = [one.send(packed(1)), one.send(packed(2, 9000)), one.send(packed(3))];
    assert.ok(b.length > 3);
    const twice = [...a, ...a, ...b.slice(0, 2), ...b, ...b, ...c, ...c, ...a];
    assert.deepEqual(sifted([one.claim(), ...twice]), [1, 2, 3]);
  });

  test('a writer that was followed counts for nothing from the claim on, also in the middle of an entry', () => {
    const old = writer(1, emptyState);
    const [before, parts] = [old.send(packed(1)), old.send(packed(9, 9000, 1))];
    const young = writer(2, stateBehind(before));
    const records = [
      old.claim(),
      ...before,
      ...parts.slice(0, 2),
      young.claim(),
      ...parts.slice(2),
      ...young.send(packed(2, 40, 2)),
      ...old.send(packed(10)),
      ...young.send(packed(3, 40, 2)),
    ];
    assert.deepEqual(sifted(records), [1, 2, 3]);
  });

  test('of two writers that claim the same term the first one has it', () => {
    const [won, late] = [writer(1, emptyState), writer(1, emptyState, 'another stream')];
    const parts = won.send(packed(1, 9000));
    assert.deepEqual(sifted([won.claim(), ...parts.slice(0, 2), late.claim(), ...parts.slice(2)]), [1]);
  });

  test('what is missing stops it: an entry, or a part of one', () => {
    const one = writer(1, emptyState);
    const [a, b, c] = [one.send(packed(1)), one.send(packed(2, 9000)), one.send(packed(3))];
    throws('BROKER_GAP', () => sifted([one.claim(), ...a, ...c]));
    throws('BROKER_GAP', () => sifted([one.claim(), ...a, ...b.slice(0, 1), ...b.slice(2)]));
    throws('BROKER_GAP', () => sifted([one.claim(), ...a, ...b.slice(0, -1), ...c]));
  });

  test('a stream that turns into another, a damaged byte and what is not ours stop it', () => {
    const one = writer(1, emptyState);
    const records = one.send(packed(1));
    throws('BROKER_FOREIGN', () => sifted([...records, ...writer(2, one.state(), 'another stream').send(packed(2))]));
    throws('BROKER_CORRUPT', () => sifted([Buffer.from('hello')]));
    const damaged = Buffer.from(records[0] ?? []);
    damaged.writeUInt8(damaged.readUInt8(40) ^ 1, 40);
    throws('BROKER_CORRUPT', () => sifted([damaged]));
  });

  test('begun in the middle, it learns from what came before which records are strays', () => {
    const old = writer(1, emptyState);
    old.send(packed(1));
    const young = writer(2, old.state());
    const stray = old.send(packed(8));
    const [second, third] = [young.send(packed(2)), young.send(packed(3))];
    const sieve = new Sieve('test');
    // The claim came earlier than anything that is looked at.
    for (const bytes of [...stray, ...second]) sieve.warm(decodeRecord(bytes, ''), 0);
    assert.deepEqual(sifted([...old.send(packed(9)), ...third], sieve), [3]);
  });
});

/** How far a stream is behind these records. */
function stateBehind(records: readonly Buffer[]): StreamState {
  const sieve = new Sieve('test');
  sifted(records, sieve);
  return sieve.state ?? emptyState;
}
