import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Batch, Message } from '../../../src/change/change.ts';
import { isCode } from '../../../src/error.ts';
import { postgresSource } from '../../../src/source/postgres/open.ts';
import { openProxy } from '../../end-to-end/proxy.ts';
import { run } from '../../servers/postgres.ts';
import { sharedServer } from '../../servers/shared.ts';

const server = sharedServer();

test('a primary that goes down while a copy begins is out of reach, and nothing is blamed on privileges or tables', async ({
  signal,
}) => {
  await using database = await server.database();
  await using proxy = await openProxy(database.server.port);
  await run(database.url, 'CREATE TABLE public.keyless (a int)');
  const begin = async (again: boolean): Promise<void> => {
    const options = { url: proxy.url(database.url), name: 'lane', wanted: () => true, heartbeatMs: 1000 };
    await using source = postgresSource(options);
    for await (const piece of source.snapshot({ again }, signal)) if (piece.end) return;
  };
  for (const words of ['REPLICA IDENTITY FULL', 'CREATE PUBLICATION', 'CREATE_REPLICATION_SLOT']) {
    proxy.cutAt(words);
    await assert.rejects(begin(false), (error) => isCode(error, 'SOURCE_UNREACHABLE'), words);
  }
  await begin(true);
});

/** What a log holds of a copy. */
class Held {
  readonly pieces: Batch[] = [];

  get told(): readonly Message[] {
    const from = this.pieces.findLastIndex(({ starts }) => starts);
    return this.pieces.slice(from).flatMap(({ changes }) => changes.filter((change) => change.kind === 'message'));
  }

  /** Until the log has so many more, or the copy is whole. */
  async take(url: string, count: number, signal: AbortSignal): Promise<void> {
    await using source = postgresSource({ url, name: 'lane', wanted: () => true, heartbeatMs: 1000 });
    const again = this.pieces.length > 0;
    let left = count;
    for await (const piece of source.snapshot({ again, told: this.told }, signal)) {
      this.pieces.push(piece);
      left -= 1;
      if (left === 0) return;
    }
  }
}

const slotsOf = (url: string) => run(url, 'SELECT slot_name FROM pg_replication_slots WHERE NOT temporary');

test('what was claimed stands nowhere before the log has it, and one that came to stand is known again', async ({
  signal,
}) => {
  await using database = await server.database();
  const { url } = database;
  const held = new Held();
  await held.take(url, 1, signal);
  assert.deepEqual(await slotsOf(url), [], 'Nothing lasting is made before the claim is durable');
  // The kill comes when the slot is there, and nothing behind the claim is in the log.
  await using source = postgresSource({ url, name: 'lane', wanted: () => true, heartbeatMs: 1000 });
  const pieces = source.snapshot({ again: true, told: held.told }, signal)[Symbol.asyncIterator]();
  const claimed = await pieces.next();
  assert.ok(!claimed.done);
  held.pieces.push(claimed.value);
  await pieces.next();
  await pieces.return?.();
  assert.deepEqual(await slotsOf(url), [['changeover_lane']]);
  await held.take(url, 0, signal);
  assert.ok(held.pieces.at(-1)?.end);
  assert.deepEqual(await slotsOf(url), [['changeover_lane']]);
});

test('a slot that somebody else made where ours was claimed is never taken', async ({ signal }) => {
  await using database = await server.database();
  const { url } = database;
  const held = new Held();
  await held.take(url, 1, signal);
  await run(url, `SELECT pg_create_logical_replication_slot('changeover_lane', 'pgoutput')`);
  const theirs = 'SELECT restart_lsn, confirmed_flush_lsn, catalog_xmin FROM pg_replication_slots';
  const before = await run(url, theirs);
  for (let start = 0; start < 2; start += 1)
    await assert.rejects(held.take(url, 1, signal), (error) => isCode(error, 'SOURCE_SLOT_FOREIGN'));
  assert.deepEqual(await run(url, theirs), before);
});

test('a slot that comes to stand while ours is being made is proved at the next start', async ({ signal }) => {
  await using database = await server.database();
  const { url } = database;
  const held = new Held();
  await held.take(url, 1, signal);
  const [claim] = held.told;
  await using source = postgresSource({ url, name: 'lane', wanted: () => true, heartbeatMs: 1000 });
  const pieces = source.snapshot({ again: true, told: held.told }, signal)[Symbol.asyncIterator]();
  const claimed = await pieces.next();
  assert.ok(claim && !claimed.done);
  held.pieces.push(claimed.value);
  // A dead process of ours had asked for it: nobody else can make one at that place.
  const { at } = JSON.parse(claim.content.toString()) as { at: readonly string[] };
  await run(url, `SELECT pg_create_logical_replication_slot('changeover_lane', 'pgoutput')`);
  const [[stands] = []] = await run(
    url,
    `SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE NOT temporary`,
  );
  await assert.rejects(pieces.next(), (error) => isCode(error, 'SOURCE_SLOT_BUSY'));
  const late = held.told.map((one) => ({
    ...one,
    content: Buffer.from(one.content.toString().replace(`"${at[0]}"`, `"${stands}"`)),
  }));
  held.pieces.push({ after: undefined, starts: true, changes: late, end: undefined });
  await held.take(url, 0, signal);
  assert.ok(held.pieces.at(-1)?.end);
});
