import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { committedAtUs } from '../../src/change/change.ts';
import { isWhole, join } from '../../src/change/join.ts';
import { isCode } from '../../src/error.ts';
import { piece, whole, wholes } from '../broker/batches.ts';

/** Chained batches: runs of pieces among whole transactions. */
const streams = fc.array(fc.nat(3), { maxLength: 20 }).map((counts) =>
  counts.flatMap((pieces, index) => {
    const order = index + 1;
    if (pieces === 0) return [whole(order)];
    const open = Array.from({ length: pieces }, (_, at) => piece(order, at === 0 ? 'starts' : 'continues'));
    return [...open, { ...whole(order), starts: false }];
  }),
);

test('neighbours of whole transactions become one, pieces stay, and nothing else changes', () => {
  fc.assert(
    fc.property(streams, (batches) => {
      const joined = join(batches);
      assert.deepEqual(
        joined.flatMap((batch) => batch.changes),
        batches.flatMap((batch) => batch.changes),
      );
      assert.deepEqual(
        joined.filter((batch) => !isWhole(batch)),
        batches.filter((batch) => !isWhole(batch)),
      );
      const pairs = joined.slice(1).map((batch, index) => [joined[index], batch] as const);
      assert.ok(pairs.every(([a, b]) => !a || !isWhole(a) || !isWhole(b)));
      assert.deepEqual([joined[0]?.after, joined.at(-1)?.end], [batches[0]?.after, batches.at(-1)?.end]);
    }),
  );
});

test('a joined batch begins where the first began and ends where the last ended', () => {
  const [one, ...more] = join(wholes(3, 5));
  assert.equal(more.length, 0);
  assert.deepEqual([one?.after, one?.end, one?.starts], [whole(5).after, whole(7).end, true]);
});

test('batches with a gap between them are never joined', () => {
  assert.throws(
    () => join([whole(1), whole(3)]),
    (error) => isCode(error, 'ASSERTION'),
  );
});

test('a batch is as young as its last commit, and a piece without one has no age', () => {
  assert.equal(committedAtUs(whole(1)), 1_700_000_000_000_000n);
  assert.equal(committedAtUs(piece(1, 'starts')), undefined);
});
