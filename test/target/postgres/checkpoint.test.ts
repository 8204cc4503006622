import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { epoch, offset } from '../../../src/change/position.ts';
import type { Connection } from '../../../src/engine/postgres/connect.ts';
import {
  type CheckpointStep,
  createCheckpointTableSql,
  replaceCheckpointSql,
} from '../../../src/target/postgres/checkpoint.ts';
import { readCheckpoint } from '../../../src/target/postgres/facts.ts';
import { openTargetInspector } from '../../../src/target/postgres/inspect.ts';
import { lockKey } from '../../../src/target/postgres/names.ts';
import type { Checkpoint } from '../../../src/target/target.ts';
import { openServer } from '../../servers/clusters.ts';
import { never, open, run } from '../../servers/postgres.ts';

const server = await openServer();
after(() => server[Symbol.asyncDispose]());
const url = server.url();

/** An LSN that no signed 64-bit number holds. */
const position = { origin: '7000000000000000001', order: 0xffff_ffff_ffff_fff8n, token: 'FFFFFFFF/FFFFFFF8' };
const checkpointAt = (at: number, more: Partial<Checkpoint> = {}): Checkpoint => ({
  stream: 'shop',
  epoch: epoch(1),
  offset: offset(at),
  position,
  ...more,
});

/** How many rows were touched: one, or the checkpoint is stale. */
async function write(connection: Connection, lane: string, step: CheckpointStep): Promise<number | null> {
  const { rowCount } = await connection.client.query(replaceCheckpointSql(lane, step));
  return rowCount;
}

/** What a writer remembers of the checkpoint that it wrote. */
const rowOf = (checkpoint: Checkpoint): CheckpointStep['previous'] => ({
  checkpoint,
  stream: checkpoint.stream,
  epoch: String(checkpoint.epoch),
  offset: String(checkpoint.offset),
});
const step = (from: Checkpoint | undefined, next: Checkpoint, drifted = 0): CheckpointStep => ({
  previous: from && rowOf(from),
  next,
  drifted,
});

before(() => run(url, ...createCheckpointTableSql, ...createCheckpointTableSql));

test('a checkpoint comes back as it was written, with and without a position', async () => {
  await using connection = await open(url);
  assert.equal(await readCheckpoint(connection, "it's"), undefined);
  const copying = checkpointAt(3, { position: undefined });
  assert.equal(await write(connection, "it's", step(undefined, copying)), 1);
  assert.deepEqual((await readCheckpoint(connection, "it's"))?.checkpoint, copying);
  assert.equal(await write(connection, "it's", step(copying, checkpointAt(4))), 1);
  assert.deepEqual((await readCheckpoint(connection, "it's"))?.checkpoint, checkpointAt(4));
});

test('a checkpoint that moved under the writer is not overwritten', async () => {
  await using connection = await open(url);
  const at2 = checkpointAt(2);
  const at3 = checkpointAt(3);
  assert.equal(await write(connection, 'stale', step(checkpointAt(1), at2)), 0);
  assert.equal(await write(connection, 'stale', step(undefined, at2)), 1);
  assert.equal(await write(connection, 'stale', step(undefined, at3)), 0);
  assert.equal(await write(connection, 'stale', step(checkpointAt(1), at3)), 0);
  assert.equal(await write(connection, 'stale', step(checkpointAt(2, { stream: 'other' }), at3)), 0);
  const later = { epoch: epoch(2) };
  assert.equal(await write(connection, 'stale', step(checkpointAt(2, later), checkpointAt(3, later))), 0);
  assert.deepEqual((await readCheckpoint(connection, 'stale'))?.checkpoint, at2);
});

test('of two writers that began with the same checkpoint, the later one touches nothing', async () => {
  await using first = await open(url);
  await using second = await open(url);
  await write(first, 'race', step(undefined, checkpointAt(1)));
  await first.rows('BEGIN');
  await write(first, 'race', step(checkpointAt(1), checkpointAt(2)));
  const late = write(second, 'race', step(checkpointAt(1), checkpointAt(5)));
  await first.rows('COMMIT');
  assert.equal(await late, 0);
  assert.deepEqual((await readCheckpoint(first, 'race'))?.checkpoint, checkpointAt(2));
});

test('neither an epoch nor an offset goes back', () => {
  const previous = checkpointAt(5, { epoch: epoch(2) });
  for (const next of [checkpointAt(6), checkpointAt(4, { epoch: epoch(2) })])
    assert.throws(() => replaceCheckpointSql('lane', step(previous, next)), { code: 'ASSERTION' });
});

test('a copy that was given up leaves its tables ours, and the next one begins from there', async () => {
  await using connection = await open(url);
  await using inspector = openTargetInspector({ url, name: 'again' });
  await write(connection, 'again', step(undefined, checkpointAt(7), 3));
  await inspector.forget(never);
  assert.deepEqual(await inspector.observe(never), { checkpoint: undefined, writing: false, drifted: 0, setAside: [] });
  const kept = await readCheckpoint(connection, 'again');
  assert.equal(kept?.checkpoint, undefined);
  const next = checkpointAt(0, { stream: 'new' });
  assert.equal(await write(connection, 'again', { previous: kept, next, drifted: 0 }), 1);
  assert.deepEqual((await inspector.observe(never)).checkpoint, next);
});

test('an onlooker sees checkpoint, writer and drift, and takes the checkpoint away only when nobody writes', async () => {
  await using inspector = openTargetInspector({ url, name: 'watched' });
  assert.deepEqual(await inspector.observe(never), { checkpoint: undefined, writing: false, drifted: 0, setAside: [] });
  await using writer = await open(url);
  await writer.rows('SELECT pg_advisory_lock($1)', [lockKey('watched')]);
  await write(writer, 'watched', step(undefined, checkpointAt(1), 2));
  await write(writer, 'watched', step(checkpointAt(1), checkpointAt(2), 1));
  assert.deepEqual(await inspector.observe(never), {
    checkpoint: checkpointAt(2),
    writing: true,
    drifted: 3,
    setAside: [],
  });
  await assert.rejects(inspector.forget(never), { code: 'TARGET_BUSY' });
  await writer.rows('SELECT pg_advisory_unlock($1)', [lockKey('watched')]);
  assert.equal((await inspector.observe(never)).writing, false);
  await inspector.forget(never);
  await inspector.forget(never);
  assert.equal((await inspector.observe(never)).checkpoint, undefined);
});

test('the lock of a lane has the same number in every version of the program, and is seen with either sign', async () => {
  assert.equal(lockKey('shop'), 6381390920155845044n);
  assert.equal(lockKey('seen'), -3513422485428763927n);
  await using writer = await open(url);
  for (const name of ['shop', 'seen']) {
    await using inspector = openTargetInspector({ url, name });
    assert.equal((await inspector.observe(never)).writing, false);
    await writer.rows('SELECT pg_advisory_lock($1)', [lockKey(name)]);
    assert.equal((await inspector.observe(never)).writing, true);
  }
});
