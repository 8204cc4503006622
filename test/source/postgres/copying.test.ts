import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Batch, Change } from '../../../src/change/change.ts';
import type { Table } from '../../../src/change/table.ts';
import { chunksOf, copySql, type Extent } from '../../../src/source/postgres/chunks.ts';
import { gapsOf } from '../../../src/source/postgres/ranges.ts';
import { type Events, subscribe } from '../../../src/telemetry.ts';
import { type Copy, copyOf, settled } from '../../conformance/source-under-test.ts';
import { sharedServer } from '../../servers/shared.ts';
import { primary } from './primary.ts';

/* How the rows of a snapshot are read: by several connections at once, large tables in parts. */

const server = sharedServer({ settings: { max_connections: '12', superuser_reserved_connections: '2' } });

async function prepared(...statements: string[]) {
  const there = primary(await server.database());
  for (const statement of statements) await there.connection.rows(statement);
  return there;
}

/** The ids in the first column, as often as they came. */
const idsOf = (copy: Copy, name: string): string[] =>
  copy.pieces.flatMap(({ changes }) =>
    changes.flatMap((change) =>
      change.kind === 'rows' && change.table.name === name
        ? change.block
            .toString()
            .trimEnd()
            .split('\n')
            .map((line) => line.split('\t')[0] ?? '')
        : [],
    ),
  );

const upTo = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index + 1));
const byNumber = (ids: string[]): string[] => ids.toSorted((a, b) => Number(a) - Number(b));

const large = [
  // 70 MB: three chunks. What inherits from it has rows of its own.
  'CREATE TABLE public.large (id int PRIMARY KEY, words text)',
  `ALTER TABLE public.large ALTER words SET STORAGE PLAIN`,
  `INSERT INTO public.large SELECT n, repeat('x', 3600) FROM generate_series(1, 16000) n`,
  'CREATE TABLE public.child () INHERITS (public.large)',
  `INSERT INTO public.child VALUES (0, 'of the child')`,
  'CREATE TABLE public.small AS SELECT n AS id FROM generate_series(1, 100) n',
];

test('a large table is copied in parts by several connections, each row once, whatever clients do meanwhile', async ({
  signal,
}) => {
  await using there = await prepared(...large);
  await using source = there.open({ copyConnections: 3 });
  const copied: Events['changeover:copying'][] = [];
  using _copying = subscribe('changeover:copying', (event) => copied.push(event));
  // Rows that move, go and come while it is read are seen as they were.
  const pieces: Copy['pieces'][number][] = [];
  for await (const piece of source.snapshot({ again: false }, signal)) {
    if (piece.changes.some(({ kind }) => kind === 'snapshot')) {
      await there.transact('DELETE FROM public.large WHERE id % 3 = 0', `UPDATE public.large SET words = 'y'`);
      await there.transact('INSERT INTO public.large SELECT n FROM generate_series(20000, 21000) n');
    }
    pieces.push(piece);
  }
  const copy = { pieces } as unknown as Copy;
  assert.deepEqual(byNumber(idsOf(copy, 'large')), upTo(16000));
  assert.deepEqual(idsOf(copy, 'child'), ['0']);
  assert.deepEqual(idsOf(copy, 'small'), upTo(100));
  assert.ok(
    !pieces.some(({ changes }) => changes.some((change) => change.kind === 'rows' && change.block.includes('y'))),
  );
  const [first, last] = [copied[0], copied.at(-1)];
  assert.equal(first?.bytes, 0);
  assert.equal(last?.rows, 16101);
  assert.equal(Math.round(last.bytes), last.bytesAll);
  assert.ok(last.bytesAll > 60_000_000);
});

test('a TRUNCATE that waits for the copy does not stop it', async ({ signal }) => {
  await using there = await prepared(
    ...large,
    'CREATE TABLE public.zero (id int PRIMARY KEY)',
    'INSERT INTO public.zero VALUES (1)',
    // To print a view the server locks what it reads, until the end of the copy.
    'CREATE VIEW public.seen AS SELECT * FROM public.zero',
  );
  await using source = there.open();
  const pieces: Batch[] = [];
  let emptied: Promise<unknown> | undefined;
  for await (const one of source.snapshot({ again: false }, signal)) {
    pieces.push(one);
    if (!one.changes.some(({ kind }) => kind === 'snapshot')) continue;
    emptied = there.transact('TRUNCATE public.zero');
    await settled(async () => (await there.connection.rows('SELECT FROM pg_locks WHERE NOT granted')).length > 0);
  }
  assert.ok(pieces.at(-1)?.end);
  await emptied;
});

test('the schema comes before the rows and the rest of it behind them, whoever reads which rows', async ({
  signal,
}) => {
  await using there = await prepared(...large, 'CREATE INDEX large_words ON public.small (id)');
  await using source = there.open({ copyConnections: 2 });
  const { pieces } = await copyOf(source, signal);
  const kinds = pieces
    .flatMap(({ changes }) => changes.map(({ kind }: Change) => kind))
    .filter((kind) => kind !== 'message');
  const parts = kinds.filter((kind, index) => kind !== kinds[index - 1]);
  assert.deepEqual(parts, ['snapshot', 'schema', 'rows', 'schema']);
});

test('a server without room for more connections is copied through those that it has', async ({ signal }) => {
  await using there = await prepared('CREATE TABLE public.small AS SELECT n AS id FROM generate_series(1, 100) n');
  await using source = there.open({ copyConnections: 50 });
  const copy = await copyOf(source, signal);
  assert.deepEqual(idsOf(copy, 'small'), upTo(100));
});

const table = (name: string, ...columns: string[]): Table => ({
  schema: 'public',
  name,
  identity: 'none',
  columns: columns.map((column) => ({ name: column, type: '', key: false })),
});

const extent = (pages: number | undefined, bytes: number): Extent => ({
  oid: '1',
  file: '1',
  isKeyed: true,
  pages,
  bytes,
});

test('chunks are of equal size and leave no page out, also none that is added later', () => {
  const extents = new Map([
    ['public.a', extent(10_000, 100_000_000)],
    ['public.b', extent(undefined, 100_000_000)],
    ['public.c', extent(2, 900_000_000)],
  ]);
  const tables = [table('a', 'x', 'Y'), table('b'), table('c', 'x'), table('d', 'x')];
  assert.deepEqual(chunksOf(tables, { extents, bytesMax: 34_000_000 }).map(copySql), [
    `COPY (SELECT "x", "Y" FROM ONLY "public"."a" WHERE ctid < '(3333,0)') TO STDOUT`,
    `COPY (SELECT "x", "Y" FROM ONLY "public"."a" WHERE ctid >= '(3333,0)' AND ctid < '(6666,0)') TO STDOUT`,
    `COPY (SELECT "x", "Y" FROM ONLY "public"."a" WHERE ctid >= '(6666,0)') TO STDOUT`,
    `COPY "public"."b" TO STDOUT`,
    `COPY (SELECT "x" FROM ONLY "public"."c" WHERE ctid < '(1,0)') TO STDOUT`,
    `COPY (SELECT "x" FROM ONLY "public"."c" WHERE ctid >= '(1,0)') TO STDOUT`,
    `COPY "public"."d" ("x") TO STDOUT`,
  ]);
});

test('what is left of a table is what no part of it held, to the last page that there will be', () => {
  const range = (from?: number, to?: number) => ({ from, to });
  assert.deepEqual(gapsOf([]), [range()]);
  assert.deepEqual(gapsOf([range(undefined, 5), range(5, 9)]), [range(9)]);
  assert.deepEqual(gapsOf([range(20, 30), range(10, 20)]), [range(undefined, 10), range(30)]);
  assert.deepEqual(gapsOf([range(7), range(2, 4)]), [range(undefined, 2), range(4, 7)]);
  assert.deepEqual(gapsOf([range(undefined, 5), range(5)]), []);
  const ranges = new Map([['public.a', [range(undefined, 10), range(70)]]]);
  const chunks = chunksOf([table('a', 'x')], {
    extents: new Map([['public.a', extent(100, 100)]]),
    bytesMax: 20,
    ranges,
  });
  assert.deepEqual(
    chunks.map(({ from, to, bytes }) => [from, to, bytes]),
    [
      [undefined, 10, 10],
      [70, 85, 15],
      [85, undefined, 15],
    ],
  );
});
