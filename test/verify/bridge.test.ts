import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Batch, Change, Rows } from '../../src/change/change.ts';
import { keyOf } from '../../src/change/key.ts';
import { cells, rowOf } from '../../src/change/row.ts';
import type { Table } from '../../src/change/table.ts';
import type { View } from '../../src/change/view.ts';
import type { Foothold } from '../../src/source/source.ts';
import { type Bank, bridge, surveyed } from '../../src/verify/bridge.ts';
import { at } from '../control/facts.ts';
import { never } from '../servers/postgres.ts';

const table: Table = {
  schema: 'public',
  name: 't',
  identity: 'key',
  columns: [
    { name: 'id', type: 'integer', key: true },
    { name: 'v', type: 'text', key: false },
  ],
};
type Content = Readonly<Record<string, string>>;
const rowWith = (id: string, v: string) => rowOf([Buffer.from(id), Buffer.from(v)]);

/** One table in one bucket. */
const viewOf = (content: Content): View => ({
  tables: async () => [{ table, rows: 10, bytes: 100, masked: false }],
  lacks: async () => undefined,
  hashing: async () => 'same',
  digests: async () => new Map([[0, { rows: Object.keys(content).length, sum: JSON.stringify(content) }]]),
  hashes: async () => Object.entries(content).map(([id, v]) => ({ key: [id], hash: v })),
  rows: async (_, keys) => keys.flatMap(([id = '']) => (content[id] === undefined ? [] : [rowWith(id, content[id])])),
  [Symbol.asyncDispose]: async () => undefined,
});

const bankOf = (content: Content, setAside: readonly string[] = []): Bank => ({
  view: viewOf(content),
  setAside: new Set(setAside),
});

function footholdOf(content: Content, kept: () => void = () => undefined): Foothold {
  return {
    position: at(2000),
    view: viewOf(content),
    schema: async () => ({ beforeRows: [], afterRows: [] }),
    async *rows(): AsyncGenerator<Rows> {
      yield { kind: 'rows', table, count: Object.keys(content).length, block: Buffer.from('all') };
    },
    keep: async () => kept(),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const wordsOf = (change: Change): string => {
  if (change.kind === 'delete') return `- ${keyOf(table, change.before).join()}`;
  return change.kind === 'insert' ? `+ ${[...cells(change.after)].join(' ')}` : change.kind;
};

async function bridged(content: Content, ...banks: readonly Bank[]) {
  const batches: (Batch | 'kept')[] = [];
  const append = async (batch: Batch): Promise<void> => void batches.push(batch);
  const foothold = footholdOf(content, () => batches.push('kept'));
  const tables = await bridge({ foothold, banks, after: at(1000), append }, never);
  const pieces = batches.filter((one) => one !== 'kept');
  return { batches, pieces, tables, words: pieces.flatMap(({ changes }) => changes).map(wordsOf) };
}

const five = { 1: 'a', 2: 'b', 3: 'c', 4: 'd', 5: 'e' };

test('a bridge is one transaction from the log to the foothold, and begins before the slot is kept', async () => {
  const { batches, pieces } = await bridged(five, bankOf({ ...five, 1: 'x' }));
  assert.deepEqual(
    pieces.map(({ starts, after, end }) => [starts, after, end]),
    pieces.map((_, index) => [index === 0, at(1000), index === pieces.length - 1 ? at(2000) : undefined]),
  );
  assert.ok(pieces.length > 2);
  assert.equal(batches[1], 'kept');
});

test('what is wrong goes before anything comes; what is only missing or only extra does just that', async () => {
  const { words, tables } = await bridged(five, bankOf({ 1: 'x', 2: 'b', 3: 'c', 4: 'd', 6: 'f' }));
  assert.deepEqual(words, ['- 1', '- 6', '+ 1 a', '+ 5 e', 'commit']);
  assert.deepEqual(tables, [{ table, how: 'rows', rows: 3 }]);
});

test('one bridge carries several secondaries, whatever each of them has', async () => {
  const { 5: _, ...four } = five;
  const { words } = await bridged(five, bankOf(four), bankOf({ ...five, 6: 'f' }));
  // Row 5 is missing at one only, row 6 is extra at one only: each goes, and comes where it is there.
  assert.deepEqual(words, ['- 5', '- 6', '+ 5 e', 'commit']);
});

test('a table that is set aside everywhere is passed by, and one that is not is compared where it is carried', async () => {
  const wrong = { 1: 'x' };
  const all = await bridged(five, bankOf(wrong, ['public.t']));
  assert.deepEqual([all.tables[0]?.how, all.words], ['set aside', ['commit']]);
  const one = await bridged(five, bankOf(wrong, ['public.t']), bankOf({ ...five, 2: 'x' }));
  assert.deepEqual(one.words, ['- 2', '+ 2 b', 'commit']);
});

test('a table of which most is wrong is copied whole', async () => {
  const { words, tables } = await bridged(five, bankOf({ 1: 'a' }));
  assert.deepEqual(words, ['clear', 'rows', 'commit']);
  assert.deepEqual(tables, [{ table, how: 'table', rows: 5 }]);
});

test('a survey says the same and keeps nothing', async () => {
  const foothold = footholdOf(five, () => assert.fail('kept'));
  const tables = await surveyed({ foothold, banks: [bankOf({ ...five, 1: 'x' })] }, never);
  assert.deepEqual(tables, [{ table, how: 'rows', rows: 1 }]);
});
