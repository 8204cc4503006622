import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Fates } from '../../src/apply/fates.ts';
import { rowOf } from '../../src/change/row.ts';

const placed = (fates: Fates, ...cells: readonly (string | null)[]): number => {
  const row = rowOf(cells.map((cell) => (cell === null ? null : Buffer.from(cell))));
  return fates.place(row, 0, row.length);
};

/** Keys that have nothing in common. */
const scattered = (key: number): string => createHash('md5').update(`${key}`).digest('base64');

test('each key has a place of its own, also where its hash is that of another', () => {
  // Of so many, some share all 32 bits of the hash.
  const count = 300_000;
  const fates = new Fates([0]);
  for (let key = 0; key < count; key += 1) assert.equal(placed(fates, scattered(key), 'a'), key);
  for (let key = 0; key < count; key += 997) assert.equal(placed(fates, scattered(key), 'b'), key);
});

test('cells are told apart by their ends, and a null from a text', () => {
  const fates = new Fates([1, 2]);
  const keys = [
    ['ab', 'c'],
    ['a', 'bc'],
    ['', 'abc'],
    [null, 'abc'],
    ['n', 'abc'],
  ] as const;
  for (const [index, key] of keys.entries()) assert.equal(placed(fates, 'x', ...key, 'y'), index);
  for (const [index, key] of keys.entries()) assert.equal(placed(fates, 'z', ...key, null), index);
});

test('a row is found where it lies', () => {
  const fates = new Fates([0]);
  const rows = [rowOf([Buffer.from('1'), Buffer.from('one')]), rowOf([Buffer.from('2'), Buffer.from('two')])];
  const bytes = Buffer.concat([Buffer.from('before'), ...rows]);
  const second = 6 + (rows[0]?.length ?? 0);
  assert.equal(fates.place(bytes, 6, second), 0);
  assert.equal(fates.place(bytes, second, bytes.length), 1);
  fates.set(0, 'delete', rows[0] ?? bytes, 0, rows[0]?.length ?? 0);
  assert.equal(placed(fates, '1', 'other'), 0);
  assert.deepEqual(fates.kinds, ['delete', 'gone']);
});
