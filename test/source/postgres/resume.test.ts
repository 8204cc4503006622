import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Batch, Message } from '../../../src/change/change.ts';
import { cells, type Row } from '../../../src/change/row.ts';
import { tableName } from '../../../src/change/table.ts';
import { connect } from '../../../src/engine/postgres/connect.ts';
import type { Source } from '../../../src/source/source.ts';
import { parseCopyText } from '../../../src/target/memory/copy-text.ts';
import { settled } from '../../conformance/source-under-test.ts';
import { sharedServer } from '../../servers/shared.ts';
import { type Primary, primary } from './primary.ts';

/* A copy that was interrupted goes on: with what its pieces told, under a later snapshot. */

const server = sharedServer();

/** `a` is copied first, `b` has several blocks, `c` comes last. */
const tables = [
  'CREATE TABLE public.a (id int PRIMARY KEY, v text, long text)',
  'ALTER TABLE public.a ALTER long SET STORAGE EXTERNAL',
  `INSERT INTO public.a SELECT n, 'a', repeat('x', 3000) FROM generate_series(1, 100) n`,
  'CREATE TABLE public.b (id int PRIMARY KEY, words text)',
  'ALTER TABLE public.b ALTER words SET STORAGE EXTERNAL',
  `INSERT INTO public.b SELECT n, repeat('b', 3000) FROM generate_series(1, 3000) n`,
  'CREATE TABLE public.c (v text)',
  `INSERT INTO public.c VALUES ('c'), ('c')`,
];

async function prepared(...statements: string[]): Promise<Primary> {
  const there = primary(await server.database());
  for (const statement of [...tables, ...statements]) await there.connection.rows(statement);
  return there;
}

/** What a broker has of an interrupted snapshot, and what of it is in a target that took it all. */
class Copy {
  readonly pieces: Batch[] = [];
  readonly #rows = new Map<string, (string | null)[][]>();
  /** Tables that were copied in parts: of their rows some may be missing, or be there already, until the copy is whole. */
  readonly #partly = new Set<string>();

  get told(): readonly Message[] {
    return this.pieces.flatMap(({ changes }) => changes.filter((change) => change.kind === 'message'));
  }

  /** How often the rows of a table came as blocks. */
  rowsCopied(name: string): number {
    return this.pieces
      .flatMap(({ changes }) => changes)
      .reduce((sum, change) => sum + (change.kind === 'rows' && change.table.name === name ? change.count : 0), 0);
  }

  /** Goes on until `isEnough`, or to the end. */
  async take(source: Source, isEnough: (piece: Batch) => boolean, signal: AbortSignal): Promise<void> {
    const again = this.pieces.length > 0;
    for await (const piece of source.snapshot({ again, told: this.told }, signal)) {
      this.pieces.push(piece);
      if (isEnough(piece)) return;
    }
  }

  /** The rows of a table: every row comes once, and whatever changes is there. */
  content(name: string): string[] {
    for (const { changes } of this.pieces.splice(0)) for (const change of changes) this.#write(change);
    return (this.#rows.get(name) ?? []).map((row) => JSON.stringify(row)).toSorted();
  }

  #write(change: Batch['changes'][number]): void {
    if (change.kind === 'snapshot') for (const table of change.tables) this.#rows.set(tableName(table), []);
    if (change.kind === 'truncate') for (const table of change.tables) this.#rows.set(tableName(table), []);
    if (change.kind === 'message' && change.content.includes('"part"'))
      this.#partly.add((JSON.parse(change.content.toString()) as { table: string }).table);
    if (!('table' in change)) return;
    const name = tableName(change.table);
    const isPartly = this.#partly.has(name);
    const rows = this.#rows.get(name);
    assert.ok(rows, `${name} was announced`);
    if (change.kind === 'rows') {
      const come = parseCopyText(change.block).map((row) => row.map((cell) => cell && cell.toString()));
      const ids = new Set(come.map(([id]) => id));
      this.#rows.set(name, [...(isPartly ? rows.filter(([id]) => !ids.has(id)) : rows), ...come]);
    }
    if (change.kind === 'insert') rows.push(texts(change.after).map((cell) => cell ?? null));
    if (change.kind !== 'update' && change.kind !== 'delete') return;
    const was = texts(change.kind === 'delete' ? change.before : (change.before ?? change.after));
    const at = rows.findIndex((row) =>
      change.table.identity === 'full' ? was.every((cell, index) => cell === row[index]) : row[0] === was[0],
    );
    assert.ok(at >= 0 || isPartly, `The row of ${name} that changes is there`);
    const [former] = at >= 0 ? rows.splice(at, 1) : [];
    if (change.kind !== 'update') return;
    const after = texts(change.after);
    assert.ok(former || !after.includes(undefined), `The row of ${name} that is not there is told whole`);
    rows.push(after.map((cell, index) => (cell === undefined ? (former?.[index] ?? null) : cell)));
  }
}

/** Undefined is unchanged. */
const texts = (row: Row): (string | null | undefined)[] =>
  [...cells(row)].map((cell) => (Buffer.isBuffer(cell) ? cell.toString() : cell === 'unchanged' ? undefined : null));

async function assertWhole(copy: Copy, { connection }: Primary, ...names: string[]): Promise<void> {
  assert.ok(copy.pieces.at(-1)?.end, 'The copy came to its end');
  for (const name of names) {
    const rows = await connection.rows(`SELECT * FROM public.${name}`);
    const [ours, theirs] = [copy.content(`public.${name}`), rows.map((row) => JSON.stringify(row)).toSorted()];
    assert.equal(ours.length, theirs.length, `${name} has as many rows`);
    assert.ok(
      ours.every((row, index) => row === theirs[index]),
      `${name} has the same rows`,
    );
  }
}

const has = (piece: Batch, name: string): boolean =>
  piece.changes.some((change) => change.kind === 'rows' && change.table.name === name);
const toTheEnd = (): boolean => false;
const one = { copyConnections: 1 };

test('what is copied is not copied again, and is brought up to the later snapshot', async ({ signal }) => {
  await using there = await prepared();
  await using source = there.open(one);
  const copy = new Copy();
  await copy.take(source, (piece) => has(piece, 'b'), signal);
  await there.transact(
    'DELETE FROM public.a WHERE id <= 10',
    `UPDATE public.a SET v = 'changed' WHERE id BETWEEN 11 AND 20`,
    'UPDATE public.a SET id = -id WHERE id = 30',
    `INSERT INTO public.a VALUES (1000, 'new', 'short')`,
    'DELETE FROM public.b WHERE id % 2 = 0',
    `UPDATE public.b SET words = 'changed' WHERE id = 1`,
    `INSERT INTO public.c VALUES ('c')`,
  );
  await copy.take(source, toTheEnd, signal);
  assert.equal(copy.rowsCopied('a'), 100);
  assert.equal(copy.rowsCopied('c'), 3);
  assert.ok(copy.pieces.filter(({ starts }) => starts).length === 1);
  await assertWhole(copy, there, 'a', 'b', 'c');
});

/** Wide rows of 3 kB, so that each chunk has some dozen of them. */
const inChunks = { copyConnections: 2, chunkBytes: 512 * 1024 };

const partsOf = ({ told }: Copy, name: string): number =>
  told.filter(({ content }) => content.includes('"part"') && content.includes(`public.${name}`)).length;

test('of a table with a key the chunks that are copied are not copied again, whatever became of its rows', async ({
  signal,
}) => {
  await using there = await prepared('ALTER TABLE public.b ADD note text');
  await using source = there.open(inChunks);
  const copy = new Copy();
  for (let round = 1; round <= 3; round += 1) {
    const enough = 3 * round;
    await copy.take(source, () => partsOf(copy, 'b') >= enough, signal);
    assert.ok(copy.pieces.at(-1)?.end === undefined);
    await there.transact(
      // New versions of rows come to lie where there is room: also in pages that were copied, or were not.
      `DELETE FROM public.b WHERE id % 7 = ${round}`,
      `UPDATE public.b SET note = '${round}' WHERE id % 5 = ${round}`,
      `UPDATE public.b SET id = -id WHERE id % 11 = ${round} AND id > 0`,
      `INSERT INTO public.b SELECT 10000 * ${round} + n, 'new' FROM generate_series(1, 50) n`,
    );
    await there.connection.rows('VACUUM public.b');
  }
  await copy.take(source, toTheEnd, signal);
  const copied = copy.rowsCopied('b');
  assert.ok(copied < 3000 + 1200, `${copied} rows were copied of some 3,000`);
  await assertWhole(copy, there, 'a', 'b', 'c');
});

test('a table that was rewritten meanwhile is copied from its beginning', async ({ signal }) => {
  await using there = await prepared();
  await using source = there.open(inChunks);
  const copy = new Copy();
  await copy.take(source, () => partsOf(copy, 'b') >= 4, signal);
  await there.transact('DELETE FROM public.b WHERE id < 500');
  await there.connection.rows('VACUUM FULL public.b');
  await copy.take(source, toTheEnd, signal);
  await assertWhole(copy, there, 'a', 'b', 'c');
});

test('an interruption of what goes on leaves nothing out and tells nothing twice, also within a large transaction', async ({
  signal,
}) => {
  await using there = await prepared('CREATE TABLE public.aa (v text)', `INSERT INTO public.aa VALUES ('x')`);
  await using source = there.open(one);
  const copy = new Copy();
  await copy.take(source, (piece) => has(piece, 'b'), signal);
  await there.transact(`INSERT INTO public.aa SELECT repeat('y', 1000) FROM generate_series(1, 4000)`);
  for (let round = 0; round < 3; round += 1) {
    let pieces = 0;
    await copy.take(
      source,
      (piece) => {
        if (piece.changes.some(({ kind }) => kind === 'insert')) pieces += 1;
        return pieces > 0;
      },
      signal,
    );
    await there.transact(
      `INSERT INTO public.aa VALUES ('round ${round}')`,
      `UPDATE public.a SET v = '${round}' WHERE id = 1`,
    );
  }
  await copy.take(source, toTheEnd, signal);
  await assertWhole(copy, there, 'a', 'aa', 'b', 'c');
});

test('a table that is another by now makes the copy begin again', async ({ signal }) => {
  await using there = await prepared();
  await using source = there.open(one);
  const copy = new Copy();
  await copy.take(source, (piece) => has(piece, 'b'), signal);
  await there.transact('ALTER TABLE public.a ADD more int', 'UPDATE public.a SET more = id');
  await copy.take(source, toTheEnd, signal);
  assert.equal(copy.rowsCopied('a'), 200);
  await assertWhole(copy, there, 'a', 'b', 'c');
});

test('a copy whose slot is gone, or that told nothing, begins again', async ({ signal }) => {
  await using there = await prepared();
  await using source = there.open(one);
  const copy = new Copy();
  await copy.take(source, (piece) => has(piece, 'b'), signal);
  await there.lose('nothing');
  await there.transact('DELETE FROM public.a WHERE id = 1');
  await copy.take(source, (piece) => has(piece, 'b'), signal);
  assert.equal(copy.rowsCopied('a'), 199);
  const untold = new Copy();
  untold.pieces.push({ after: undefined, starts: true, changes: [], end: undefined });
  await untold.take(source, toTheEnd, signal);
  await assertWhole(untold, there, 'a', 'b', 'c');
});

test('nothing but our slot is left at the primary by a copy that went on', async ({ signal }) => {
  await using there = await prepared();
  await using source = there.open(one);
  const copy = new Copy();
  await copy.take(source, (piece) => has(piece, 'b'), signal);
  await copy.take(source, (piece) => has(piece, 'b'), signal);
  await copy.take(source, toTheEnd, signal);
  const slots = await there.connection.rows('SELECT slot_name, temporary FROM pg_replication_slots');
  assert.deepEqual(slots, [['changeover_test', 'f']]);
});

test('an abort ends what waits for an open transaction, and leaves no slot behind', async ({ signal }) => {
  await using there = await prepared();
  await using source = there.open(one);
  const copy = new Copy();
  await copy.take(source, (piece) => has(piece, 'b'), signal);
  await using client = await connect({ url: there.url, side: 'SOURCE', application: 'a client' }, signal);
  await client.rows('BEGIN');
  await client.rows('INSERT INTO public.c VALUES (1)');
  const stop = new AbortController();
  const taking = copy.take(source, toTheEnd, AbortSignal.any([signal, stop.signal]));
  const count = async (what: string): Promise<number> =>
    Number((await there.connection.rows(`SELECT count(*) FROM ${what}`))[0]?.[0]);
  await settled(async () => (await count('pg_replication_slots WHERE temporary')) === 1);
  stop.abort();
  await assert.rejects(taking);
  await settled(async () => (await count('pg_replication_slots WHERE temporary')) === 0);
  await client.rows('COMMIT');
  await copy.take(source, toTheEnd, signal);
  await assertWhole(copy, there, 'a', 'b', 'c');
});
