import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type MemoryBroker, openMemoryBroker } from '../../src/broker/memory/memory.ts';
import type { Batch } from '../../src/change/change.ts';
import type { ControlEvent } from '../../src/change/control.ts';
import { epoch, offset } from '../../src/change/position.ts';
import { rowOf } from '../../src/change/row.ts';
import { type Journal, openJournal } from '../../src/control/journal.ts';
import { isCode } from '../../src/error.ts';
import { never } from '../servers/postgres.ts';
import { at } from './facts.ts';

const table = {
  schema: 'public',
  name: 't',
  identity: 'full',
  columns: [{ name: 'n', type: 'int', key: false }],
} as const;
const batch = (after: number | undefined, end: number | undefined, changes: Batch['changes'] = []): Batch => ({
  after: after === undefined ? undefined : at(after),
  starts: true,
  changes,
  end: end === undefined ? undefined : at(end),
});
const row = { kind: 'insert', table, after: rowOf([Buffer.from('1')]) } as const;
const commit = (order: number) =>
  ({ kind: 'commit', transaction: 1n, position: at(order), committedAtUs: 0n }) as const;

const id = 'a';
const told = { id, atMs: 0 };
const toPromotion: readonly ControlEvent[] = [
  { kind: 'asked', ...told, what: 'switchover', from: 'london', to: 'dublin', epoch: 1 },
  { kind: 'armed', ...told },
  { kind: 'fenced', ...told, roles: [], proved: [], unfenced: [] },
  { kind: 'sealed', ...told, position: '0/20' },
  { kind: 'proved', ...told, comparison: undefined, sequences: 0 },
];
const promoted: ControlEvent = {
  kind: 'promoted',
  ...told,
  what: 'switchover',
  from: 'london',
  leader: 'dublin',
  epoch: 2,
};

interface Desk extends AsyncDisposable {
  readonly broker: MemoryBroker;
  readonly folder: string;
  /** As a coordinator that comes behind one that died. */
  readonly open: () => Promise<Journal>;
}

async function deskWith(...batches: readonly Batch[]): Promise<Desk> {
  const broker = openMemoryBroker();
  const folder = await mkdtemp(join(tmpdir(), 'changeover-journal-'));
  let writer = broker.openWriter();
  for (const one of batches) await writer.append(epoch(1), one);
  return {
    broker,
    folder,
    async open() {
      await writer[Symbol.asyncDispose]();
      writer = broker.openWriter();
      return openJournal(
        { broker: writer, openReader: async () => broker.openReader(), folder, leader: 'london' },
        never,
      );
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

async function entries({ broker }: Desk): Promise<readonly Batch[]> {
  await using reader = broker.openReader();
  const { first, next } = await reader.observe();
  const found: Batch[] = [];
  for await (const entry of reader.read(first, never)) {
    found.push(entry.batch);
    if (entry.offset + 1 === next) break;
  }
  return found;
}

test('entries chain with the batches around them, and the first of an epoch goes on where the new leader does', async () => {
  await using desk = await deskWith(batch(undefined, 10));
  const journal = await desk.open();
  for (const event of toPromotion) await journal.record(event);
  await journal.record(promoted, { end: at(700, '99') });
  await using writer = journal.writer();
  await writer.append(journal.standing.epoch, { ...batch(0, 0), after: at(700, '99'), end: at(701, '99') });
  const all = await entries(desk);
  for (const [index, { after }] of all.entries()) assert.deepEqual(after, all[index - 1]?.end);
  assert.deepEqual(journal.standing.beginning, { offset: offset(6), position: at(700, '99') });
});

test('whoever leads is found again by the next coordinator, from the log alone or from what was kept', async () => {
  for (const lost of [false, true]) {
    await using desk = await deskWith(batch(undefined, 10));
    const journal = await desk.open();
    for (const event of [...toPromotion, promoted]) await journal.record(event);
    if (lost) await rm(join(desk.folder, 'standing.json'));
    const { standing } = await desk.open();
    assert.deepEqual(standing, journal.standing);
    assert.equal(standing.leader, 'dublin');
  }
});

test('a log that has forgotten who leads is refused, where nothing else tells it', async () => {
  await using desk = await deskWith(batch(undefined, 10));
  const journal = await desk.open();
  for (const event of [...toPromotion, promoted]) await journal.record(event);
  await journal.record({ kind: 'opened', ...told, roles: [] });
  await using reader = desk.broker.openReader();
  await reader.release('dublin', offset(7));
  assert.equal((await desk.open()).standing.leader, 'dublin');
  await rm(join(desk.folder, 'standing.json'));
  await assert.rejects(desk.open(), (error) => isCode(error, 'CONTROL_LEADER_UNKNOWN'));
});

test('behind a seal nothing comes from the old leader, and behind the next epoch neither', async () => {
  await using desk = await deskWith(batch(undefined, 10));
  const journal = await desk.open();
  const writer = journal.writer();
  const fenced = (error: unknown): boolean => isCode(error, 'EPOCH_FENCED');
  for (const event of toPromotion) {
    await journal.record(event);
    if (event.kind === 'sealed' || event.kind === 'proved')
      await assert.rejects(writer.append(epoch(1), batch(10, 20)), fenced, event.kind);
  }
  await journal.record(promoted, { end: at(700, '99') });
  await assert.rejects(writer.append(epoch(1), batch(10, 20)), fenced);
});

test('an entry never comes amid the pieces of one transaction, unless their writer is gone', async () => {
  await using desk = await deskWith(batch(undefined, 10));
  const journal = await desk.open();
  const [asked, armed] = toPromotion;
  assert.ok(asked && armed);
  const writer = journal.writer();
  await writer.append(epoch(1), batch(10, undefined, [row]));
  const recorded = journal.record(asked);
  await writer.append(epoch(1), { ...batch(10, 20, [commit(20)]), starts: false });
  await recorded;
  await writer.append(epoch(1), batch(20, undefined, [row]));
  const second = journal.record(armed);
  await writer[Symbol.asyncDispose]();
  await second;
  const kinds = (await entries(desk)).map(({ changes }) => changes.map(({ kind }) => kind).join());
  assert.deepEqual(kinds, ['', 'insert', 'commit', 'control', 'insert', 'control']);
});

test('the last transaction with rows is known, and marks and schema-less commits are not taken for it', async () => {
  await using desk = await deskWith(batch(undefined, 10));
  const journal = await desk.open();
  const writer = journal.writer();
  const mark = { kind: 'message', prefix: 'changeover', content: Buffer.alloc(0) } as const;
  await writer.append(epoch(1), batch(10, 30, [mark, commit(15), row, commit(20), mark, commit(30)]));
  assert.deepEqual(journal.lastRows, at(20));
});

test('a new log in the place of one that was given up is led by whoever led', async () => {
  await using desk = await deskWith(batch(undefined, 10));
  const journal = await desk.open();
  for (const event of [...toPromotion, promoted]) await journal.record(event);
  const fresh = openMemoryBroker();
  const options = {
    broker: fresh.openWriter(),
    openReader: async () => fresh.openReader(),
    folder: desk.folder,
    leader: 'london',
  };
  const { standing } = await openJournal(options, never);
  assert.deepEqual([standing.leader, standing.epoch, standing.move], ['dublin', 1, undefined]);
});
