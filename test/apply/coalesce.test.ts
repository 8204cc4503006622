import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { coalesce, type Run, type Step } from '../../src/apply/coalesce.ts';
import type { Change } from '../../src/change/change.ts';
import { decodeBatch, encodeBatch } from '../../src/change/codec.ts';
import { changesOf } from '../../src/change/net.ts';
import { cells, rowOf } from '../../src/change/row.ts';
import type { Table } from '../../src/change/table.ts';
import { histories, isKeyed, keyText, type Rows } from './history.ts';

const written = (before: Rows, changes: readonly Change[]): Rows => {
  const rows = before.copy();
  for (const change of changes) rows.write(change);
  return rows;
};

/** A shuffle that shrinks: each change with a random weight. */
const weights = fc.infiniteStream(fc.nat());

const changesIn = (step: Step): readonly Change[] => (step.order === 'kept' ? step.changes : [...changesOf(step.net)]);

const inAnyOrder = (step: Step, weights: Iterator<number>): readonly Change[] =>
  step.order === 'kept'
    ? step.changes
    : changesIn(step)
        .map((change) => ({ change, weight: Number(weights.next().value) }))
        .toSorted((a, b) => a.weight - b.weight)
        .map(({ change }) => change);

/** The changes in one run, or cut in two, as objects or as a log gives them. */
const runs = fc.record({ cut: fc.nat(200), packed: fc.boolean() });

function runsOf(changes: readonly Change[], { cut, packed }: { cut: number; packed: boolean }): Run[] {
  const parts = [changes.slice(0, cut), changes.slice(cut)];
  return parts.map((part) =>
    packed
      ? decodeBatch(encodeBatch({ after: undefined, starts: true, changes: part, end: undefined }))
      : { changes: part },
  );
}

test('net effects in any order leave the rows that the changes leave in theirs', () => {
  fc.assert(
    fc.property(histories, weights, runs, ({ before, changes }, weights, how) => {
      const net = coalesce(runsOf(changes, how)).flatMap((step) => inAnyOrder(step, weights));
      assert.deepEqual(written(before, net).content(), written(before, changes).content());
    }),
    { numRuns: 1000 },
  );
});

test('the originals of any step may be written instead of its net effect', () => {
  fc.assert(
    fc.property(histories, weights, runs, ({ before, changes }, weights, how) => {
      const mixed = coalesce(runsOf(changes, how)).flatMap((step) =>
        step.order === 'net' && Number(weights.next().value) % 2 === 0 ? step.originals() : inAnyOrder(step, weights),
      );
      assert.deepEqual(written(before, mixed).content(), written(before, changes).content());
    }),
    { numRuns: 1000 },
  );
});

test('a net step holds at most one change per key', () => {
  fc.assert(
    fc.property(histories, runs, ({ changes }, how) => {
      for (const step of coalesce(runsOf(changes, how))) {
        if (step.order === 'kept') continue;
        const keys = changesIn(step).flatMap((change) => keyOf(change));
        assert.equal(new Set(keys).size, keys.length);
      }
    }),
  );
});

function keyOf(change: Change): string[] {
  if (change.kind !== 'insert' && change.kind !== 'update' && change.kind !== 'delete') return [];
  if (!isKeyed(change.table)) return [];
  const row = change.kind === 'delete' ? change.before : change.after;
  return [`${change.table.name} ${keyText(change.table, [...cells(row)])}`];
}

test('a hundred updates of one row become one', () => {
  const table: Table = {
    schema: 'public',
    name: 't',
    identity: 'key',
    columns: [
      { name: 'id', type: 'int', key: true },
      { name: 'v', type: 'int', key: false },
    ],
  };
  const row = (value: number) => rowOf([Buffer.from('1'), Buffer.from(`${value}`)]);
  const updates = Array.from({ length: 100 }, (_, index) => ({
    kind: 'update' as const,
    table,
    before: undefined,
    after: row(index),
  }));
  const [step, ...more] = coalesce([{ changes: updates }]);
  assert.equal(more.length, 0);
  assert.equal(step?.order, 'net');
  assert.deepEqual(changesIn(step), [updates.at(-1)]);
  assert.equal(step.originals().length, 100);
});

test('what only marks or tells leaves no step behind', () => {
  const marks: Change[] = [
    { kind: 'message', prefix: 'changeover', content: Buffer.from('heartbeat') },
    { kind: 'commit', transaction: 1n, position: { origin: 'x', order: 1n, token: '0/1' }, committedAtUs: 0n },
  ];
  assert.deepEqual(coalesce([{ changes: marks }]), []);
  assert.deepEqual(coalesce(runsOf(marks, { cut: 1, packed: true })), []);
});
