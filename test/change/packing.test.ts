import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change } from '../../src/change/change.ts';
import { Packing } from '../../src/change/packing.ts';
import { rowOf } from '../../src/change/row.ts';
import type { Table } from '../../src/change/table.ts';

const table = (name: string): Table => ({
  schema: 'public',
  name,
  identity: 'key',
  columns: [{ name: 'id', type: 'text', key: true }],
});
const tables = [table('one'), table('two'), table('three')] as const;
const insert = (into: Table, bytes: number): Change => ({
  kind: 'insert',
  table: into,
  after: rowOf([Buffer.alloc(bytes, 'x')]),
});
const ends = { after: undefined, starts: true, end: undefined };

test('what came behind the mark stays, with the tables that it names, also where there was no room for it', () => {
  const [one, two, three] = tables;
  const before = [insert(one, 5), insert(two, 4000)];
  const behind = [insert(two, 7), insert(three, 9000)];
  const packing = new Packing(16);
  for (const change of before) packing.put(change);
  packing.markWhole();
  for (const change of behind) packing.put(change);
  assert.deepEqual([packing.count, packing.wholeCount], [4, 2]);
  assert.deepEqual(packing.takeWhole(ends).changes, before);
  assert.deepEqual([packing.count, packing.wholeCount], [2, 0]);
  packing.put(insert(one, 300));
  assert.deepEqual(packing.takeAll(ends).changes, [...behind, insert(one, 300)]);
  assert.deepEqual([packing.count, packing.bytes, packing.heldBytes], [0, 0, 16]);
  packing.put(insert(three, 1));
  assert.deepEqual(packing.takeAll(ends).packed?.tables, [three]);
});
