import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { Batch, Change } from '../../src/change/change.ts';
import { decodeBatch, encodeBatch } from '../../src/change/codec.ts';
import { isWhole, join } from '../../src/change/join.ts';
import { isSame } from '../../src/change/position.ts';
import { rowOf } from '../../src/change/row.ts';
import type { Table } from '../../src/change/table.ts';
import { lsn, positionOf } from '../../src/engine/postgres/lsn.ts';
import { isCode } from '../../src/error.ts';
import { Assembly } from '../../src/source/postgres/assemble.ts';
import { type Decoded, RowMessage } from '../../src/source/postgres/pgoutput.ts';

type Message = Exclude<Decoded, { kind: 'relation' | 'type' }>;

const table = (name: string): Table => ({
  schema: 'public',
  name,
  identity: 'key',
  columns: [{ name: 'id', type: 'text', key: true }],
});
const [ours, theirs] = [table('ours'), table('theirs')];
const system = '7';
const start = positionOf(system, lsn(100n));

const assembly = (limits: { piece?: number; batch?: number } = {}): Assembly =>
  new Assembly({
    system,
    after: start,
    pieceBytesMax: limits.piece ?? 1_000_000,
    batchBytesMax: limits.batch ?? 1_000_000,
    wanted: ({ name }) => name === 'ours',
  });

const insert = (bytes: number, into = ours): Message => ({
  kind: 'insert',
  table: into,
  after: rowOf([Buffer.alloc(bytes, 'x')]),
});

/** The messages of one transaction that ends at `end`. */
const transaction = (end: number, ...changes: Message[]): Message[] => [
  { kind: 'begin', transaction: BigInt(end) },
  ...changes,
  { kind: 'committed', end: lsn(BigInt(end)), committedAtUs: BigInt(end) },
];

/** All batches of `messages`, asked for whenever `asks` says so, and at the end. */
function batchesOf(messages: readonly Message[], limits: Parameters<typeof assembly>[0], asks: Iterator<boolean>) {
  const put = assembly(limits);
  const batches = messages.flatMap((message) => {
    put.add(message);
    return asks.next().value ? [...put.take()] : [];
  });
  return [...batches, ...put.take()];
}

/** The same, and what comes is written as bytes at once whenever `packs` says so: rows from their place in a message. */
function packedBatchesOf(
  messages: readonly Message[],
  limits: Parameters<typeof assembly>[0],
  { asks, packs }: { readonly asks: Iterator<boolean>; readonly packs: Iterator<boolean> },
) {
  const put = assembly(limits);
  const row = new RowMessage();
  const batches = messages.flatMap((message) => {
    put.pack(packs.next().value === true);
    const sent = sentAs(message);
    if (sent && row.read(sent, 1, sent.length - 1, (oid) => (oid === 1 ? ours : theirs))) put.addRow(row);
    else put.add(message);
    return asks.next().value ? [...put.take()] : [];
  });
  return [...batches, ...put.take()];
}

/** A row change as pgoutput sends it, amid other bytes. */
function sentAs(message: Message): Buffer | undefined {
  if (message.kind !== 'insert' && message.kind !== 'update' && message.kind !== 'delete') return undefined;
  const oid = Buffer.alloc(4, message.table === ours ? '\0\0\0\u0001' : '\0\0\0\u0002');
  const rows =
    message.kind === 'delete'
      ? ['K', message.before]
      : message.kind === 'insert' || !message.before
        ? ['N', message.after]
        : ['O', message.before, 'N', message.after];
  const parts = ['-', message.kind.charAt(0).toUpperCase(), oid, ...rows, '-'];
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
}

const never = (): Iterator<boolean> => Iterator.from([]);

const changes: fc.Arbitrary<Message> = fc
  .tuple(fc.nat(300), fc.constantFrom(ours, ours, theirs), fc.constantFrom('insert', 'update', 'move', 'delete'))
  .map(([bytes, into, kind]) => {
    const [after, before] = [rowOf([Buffer.alloc(bytes, 'x')]), rowOf([Buffer.alloc(7, 'y')])];
    if (kind === 'insert') return { kind, table: into, after };
    if (kind === 'delete') return { kind, table: into, before };
    return { kind: 'update', table: into, before: kind === 'move' ? before : undefined, after };
  });
const cut: Message = { kind: 'truncate', tables: [ours], cascade: false, restartIdentity: true };
const said: Message = { kind: 'logical message', transactional: true, prefix: 'app', content: Buffer.from('hello') };
const parts = fc.oneof({ arbitrary: changes, weight: 10 }, fc.constant(cut), fc.constant(said));

const streams: fc.Arbitrary<Message[]> = fc
  .array(fc.array(parts, { maxLength: 12 }), { maxLength: 10 })
  .map((all) => all.flatMap((those, index) => transaction(101 + index, ...those)));

test('positions chain through every batch, and the pieces of a transaction share one start', () => {
  fc.assert(
    fc.property(
      streams,
      fc.infiniteStream(fc.boolean()),
      fc.integer({ min: 1, max: 2000 }),
      (messages, asks, piece) => {
        let end = start;
        let inPieces = false;
        for (const { batch } of batchesOf(messages, { piece, batch: 700 }, asks)) {
          assert.ok(isSame(batch.after, end));
          assert.equal(batch.starts, !inPieces);
          inPieces = batch.end === undefined;
          end = batch.end ?? end;
        }
        assert.equal(inPieces, false);
        assert.equal(end.order, messages.findLast((message) => message.kind === 'committed')?.end ?? start.order);
      },
    ),
  );
});

test('whatever is taken when, the same changes come in the same order, whole transactions in a batch', () => {
  const all = (batches: readonly { batch: Batch }[]): Change[] => batches.flatMap(({ batch }) => batch.changes);
  fc.assert(
    fc.property(
      streams,
      fc.infiniteStream(fc.boolean()),
      fc.integer({ min: 1, max: 2000 }),
      (messages, asks, piece) => {
        const taken = batchesOf(messages, { piece }, asks);
        assert.deepEqual(all(taken), all(batchesOf(messages, {}, never())));
        for (const { batch } of taken) if (batch.end) assert.equal(batch.changes.at(-1)?.kind, 'commit');
        for (const { batch } of taken) if (!batch.end) assert.ok(batch.changes.every(({ kind }) => kind !== 'commit'));
      },
    ),
  );
});

test('what is written as bytes while it comes, from any place to any other, is the same', () => {
  const infinite = fc.infiniteStream(fc.boolean());
  fc.assert(
    fc.property(streams, infinite, infinite, fc.integer({ min: 1, max: 2000 }), (messages, asks, packs, piece) => {
      const taken = packedBatchesOf(messages, { piece, batch: 700 }, { asks, packs });
      const changes = taken.flatMap(({ batch }) => decodeBatch(encodeBatch(batch)).changes);
      assert.deepEqual(
        changes,
        batchesOf(messages, {}, never()).flatMap(({ batch }) => batch.changes),
      );
      let end = start;
      let inPieces = false;
      for (const { batch } of taken) {
        assert.ok(isSame(batch.after, end));
        assert.equal(batch.starts, !inPieces);
        inPieces = batch.end === undefined;
        end = batch.end ?? end;
      }
    }),
  );
});

test('any split of whole transactions joins to the same batch', () => {
  fc.assert(
    fc.property(streams, fc.infiniteStream(fc.boolean()), (messages, asks) => {
      const split = batchesOf(messages, { batch: 200 }, asks).map(({ batch }) => batch);
      const once = batchesOf(messages, {}, never()).map(({ batch }) => batch);
      assert.deepEqual(join(split), once);
      assert.ok(once.length <= 1 && once.every(isWhole));
    }),
  );
});

test('a transaction that grows too big is handed on in pieces, never with one before it', () => {
  const put = assembly({ piece: 500 });
  for (const message of transaction(101, insert(10))) put.add(message);
  for (const message of transaction(102, insert(400), insert(400), insert(10)).slice(0, -1)) put.add(message);
  const [before, opening, ...more] = put.take();
  assert.equal(more.length, 0);
  assert.equal(before?.batch.end?.order, 101n);
  assert.deepEqual([opening?.batch.starts, opening?.batch.end, opening?.batch.changes.length], [true, undefined, 2]);
  for (const message of transaction(102).slice(-1)) put.add(message);
  const [closing, ...rest] = put.take();
  assert.equal(rest.length, 0);
  assert.deepEqual([closing?.batch.starts, closing?.batch.end?.order], [false, 102n]);
  assert.deepEqual(
    closing?.batch.changes.map(({ kind }) => kind),
    ['insert', 'commit'],
  );
});

test('an open transaction is held back until it is whole', () => {
  const put = assembly();
  for (const message of transaction(101, insert(10)).slice(0, -1)) put.add(message);
  assert.deepEqual(put.take(), []);
  for (const message of transaction(101).slice(-1)) put.add(message);
  assert.equal(put.take().length, 1);
});

test('of tables that are not wanted nothing stays but the transaction', () => {
  const truncate: Message = {
    kind: 'truncate',
    tables: [theirs, ours],
    cascade: false,
    restartIdentity: false,
  };
  const only: Message = { ...truncate, tables: [theirs] };
  const [taken] = batchesOf(transaction(101, insert(5, theirs), only, truncate), {}, never());
  assert.deepEqual(
    taken?.batch.changes.map(({ kind }) => kind),
    ['truncate', 'commit'],
  );
  const [first] = taken?.batch.changes ?? [];
  assert.deepEqual(first?.kind === 'truncate' && first.tables, [ours]);
});

test('a message outside every transaction has no place in the order and is left out', () => {
  const message = (transactional: boolean): Message => ({
    kind: 'logical message',
    transactional,
    prefix: 'p',
    content: Buffer.from('c'),
  });
  const [taken] = batchesOf([message(false), ...transaction(101, message(true))], {}, never());
  assert.deepEqual(
    taken?.batch.changes.map(({ kind }) => kind),
    ['message', 'commit'],
  );
});

test('messages that cannot follow one another are refused', () => {
  const [begin, commit] = transaction(101);
  assert.ok(begin && commit);
  for (const messages of [[insert(1)], [commit], [begin, begin]])
    assert.throws(
      () => batchesOf(messages, {}, never()),
      (error) => isCode(error, 'ASSERTION'),
    );
});
