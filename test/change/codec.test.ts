import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { Batch, Change } from '../../src/change/change.ts';
import { decodeBatch, encodeBatch } from '../../src/change/codec.ts';
import { cells, fillUnchanged, hasUnchanged, rowOf } from '../../src/change/row.ts';
import type { Table } from '../../src/change/table.ts';
import { isCode } from '../../src/error.ts';

const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(model, { noNullPrototype: true });

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const cell = fc.oneof(bytes, fc.constant(null), fc.constant('unchanged' as const));
const row = fc.array(cell, { maxLength: 8 }).map(rowOf);
const table: fc.Arbitrary<Table> = record({
  schema: fc.string({ unit: 'grapheme', maxLength: 10 }),
  name: fc.string({ unit: 'grapheme', maxLength: 10 }),
  identity: fc.constantFrom('key', 'full', 'none'),
  columns: fc.array(record({ name: fc.string(), type: fc.string(), key: fc.boolean() }), { maxLength: 5 }),
});
const position = record({
  origin: fc.string(),
  order: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  token: fc.string(),
});
const key = fc.option(fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 3 }), { nil: undefined });
const change: fc.Arbitrary<Change> = fc.oneof(
  record({ kind: fc.constant('insert'), table, after: row }),
  record({ kind: fc.constant('update'), table, before: fc.option(row, { nil: undefined }), after: row }),
  record({ kind: fc.constant('delete'), table, before: row }),
  record({
    kind: fc.constant('truncate'),
    tables: fc.array(table),
    cascade: fc.boolean(),
    restartIdentity: fc.boolean(),
  }),
  record({ kind: fc.constant('message'), prefix: fc.string(), content: bytes }),
  record({
    kind: fc.constant('commit'),
    transaction: fc.bigInt({ min: 0n, max: 2n ** 32n }),
    position,
    committedAtUs: fc.bigInt({ min: -(2n ** 60n), max: 2n ** 60n }),
  }),
  record({ kind: fc.constant('snapshot'), tables: fc.array(table) }),
  record({
    kind: fc.constant('schema'),
    statements: fc.array(record({ object: fc.string(), sql: fc.string() })),
  }),
  record({
    kind: fc.constant('ddl'),
    id: fc.string(),
    statement: fc.string(),
    steps: fc.array(fc.string()),
    settings: fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true, maxKeys: 3 }),
    refusal: fc.option(fc.string(), { nil: undefined }),
    shapes: fc.array(record({ schema: fc.string(), name: fc.string(), traits: fc.array(fc.string()) }), {
      maxLength: 3,
    }),
    objects: fc.array(fc.string()),
  }),
  record({ kind: fc.constant('clear'), table, at: position, after: key, upTo: key }),
  record({
    kind: fc.constant('sequences'),
    values: fc.array(
      record({ schema: fc.string(), name: fc.string(), last: fc.bigInt().map(String), called: fc.boolean() }),
      { maxLength: 3 },
    ),
  }),
  record({ kind: fc.constant('rows'), table, count: fc.nat(), block: bytes }),
  record({
    kind: fc.constant('control'),
    event: record({ kind: fc.constant('sealed'), id: fc.string(), atMs: fc.nat(), position: fc.string() }),
  }),
);
const batch: fc.Arbitrary<Batch> = record({
  after: fc.option(position, { nil: undefined }),
  starts: fc.boolean(),
  changes: fc.array(change, { maxLength: 20 }),
  end: fc.option(position, { nil: undefined }),
});

test('a batch comes back from its bytes as it was', () => {
  fc.assert(fc.property(batch, (given) => assert.deepEqual(decodeBatch(encodeBatch(given)), given)));
});

test('bytes cut short anywhere are refused as corrupt, never half read', () => {
  fc.assert(
    fc.property(batch, fc.nat(), (given, cut) => {
      const whole = encodeBatch(given);
      assert.throws(
        () => decodeBatch(whole.subarray(0, cut % whole.length)),
        (error) => isCode(error, 'BROKER_CORRUPT'),
      );
    }),
  );
});

test('an unchanged table is the same object in every batch', () => {
  fc.assert(
    fc.property(table, row, (given, after) => {
      const once = {
        after: undefined,
        starts: true,
        end: undefined,
        changes: [{ kind: 'insert' as const, table: given, after }],
      };
      const [a, b] = [decodeBatch(encodeBatch(once)), decodeBatch(encodeBatch(once))].map(({ changes: [first] }) =>
        first?.kind === 'insert' ? first.table : undefined,
      );
      assert.ok(a && a === b);
    }),
  );
});

test('a row gives back its cells', () => {
  fc.assert(fc.property(fc.array(cell), (given) => assert.deepEqual([...cells(rowOf(given))], given)));
});

test('an unchanged cell takes the earlier version, all others stay', () => {
  const earlier = rowOf([Buffer.from('a'), Buffer.from('b'), null]);
  const later = rowOf([Buffer.from('x'), 'unchanged', 'unchanged']);
  const filled = fillUnchanged(later, earlier);
  assert.deepEqual([...cells(filled)], [Buffer.from('x'), Buffer.from('b'), null]);
  assert.equal(hasUnchanged(filled), false);
  assert.equal(fillUnchanged(earlier, later), earlier);
});
