import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openLogReader } from '../../src/broker/log/reader.ts';
import { type ClosedSegment, consumersOf, trimmable } from '../../src/broker/log/retention.ts';
import { type LogBrokerOptions, openLogBroker } from '../../src/broker/log/writer.ts';
import { offset } from '../../src/change/position.ts';
import { isCode } from '../../src/error.ts';
import { first, position, wholes } from './batches.ts';
import { type Faults, faultyDisk } from './disks.ts';
import { temporaryFolder } from './folder.ts';

/** Five segments of 100 bytes and 10 entries, closed at 1000, 2000, … */
const closed: ClosedSegment[] = [0, 1, 2, 3, 4].map((index) => ({
  base: offset(index * 10),
  next: offset(index * 10 + 10),
  bytes: 100,
  closedAtMs: 1000 * (index + 1),
}));
const count = (released: number | undefined, keepBytes: number, keepMs: number, nowMs = 5000): number =>
  trimmable(closed, released === undefined ? undefined : offset(released), nowMs, { keepBytes, keepMs });

test('only whole segments that everyone released may go', () => {
  assert.deepEqual(
    [undefined, 0, 9, 10, 29, 30, 999].map((released) => count(released, 0, 0)),
    [0, 0, 0, 1, 2, 3, 5],
  );
});

test('what was released is kept for so many bytes and so long, whichever is reached first', () => {
  const forever = Number.POSITIVE_INFINITY;
  assert.deepEqual(
    [0, 99, 100, 250, 500].map((keepBytes) => count(50, keepBytes, forever)),
    [5, 5, 4, 3, 0],
  );
  assert.deepEqual(
    [0, 2000, 3000, 4000].map((keepMs) => count(50, forever, keepMs, 5001)),
    [5, 3, 2, 1],
  );
  assert.equal(count(50, 400, 1500), 3);
  assert.equal(count(50, 100, 1500), 4);
  // A clock that jumped back makes nothing older.
  assert.equal(count(50, forever, 0, 10), 0);
});

const segments = async (folder: string): Promise<number> =>
  (await readdir(folder)).filter((name) => name.endsWith('.segment')).length;

const small = (folder: string): LogBrokerOptions => ({ folder, segmentBytesMax: 2048, keepBytes: 0, keepMs: 0 });

test('the log trims while it is written, and a reader ahead of the trimmed part notices nothing', async (t) => {
  const { signal } = t;
  await using folder = await temporaryFolder();
  await using writer = await openLogBroker(small(folder.path), signal);
  await using reader = await openLogReader({ folder: folder.path }, signal);
  await reader.release('apply', offset(0));
  const entries = reader.read(offset(0), signal)[Symbol.asyncIterator]();
  let mostSegments = 0;
  for (const batch of wholes(400)) {
    await writer.append(first, batch);
    const { value } = await entries.next();
    assert.deepEqual(value?.batch, batch);
    // Each time through a reader of its own: a reader writes its note once a second, and when it closes.
    if (value && value.offset % 40 === 39) {
      await using other = await openLogReader({ folder: folder.path }, signal);
      await other.release('apply', offset(value.offset + 1));
    }
    mostSegments = Math.max(mostSegments, await segments(folder.path));
  }
  assert.ok(mostSegments < 12, `${mostSegments} segments at once`);
  assert.ok((await reader.observe()).first > 300);
  await entries.return?.();
});

test('a note is written at once the first time, then when its reader closes; a damaged one releases nothing', async (t) => {
  const { signal } = t;
  await using folder = await temporaryFolder();
  await using writer = await openLogBroker(small(folder.path), signal);
  for (const batch of wholes(5)) await writer.append(first, batch);
  {
    await using reader = await openLogReader({ folder: folder.path }, signal);
    await reader.release('apply', offset(1));
    for (const from of [2, 3, 4]) await reader.release('apply', offset(from));
    await reader.release('verify', offset(2));
    assert.deepEqual(Object.fromEntries(await consumersOf(folder.path)), { apply: 1, verify: 2 });
    await assert.rejects(reader.release('../escape', offset(1)), (error) => isCode(error, 'ASSERTION'));
  }
  assert.equal((await consumersOf(folder.path)).get('apply'), 4);
  for (const text of ['', '{', '{}', '{"released":-1}', '{"released":"5"}']) {
    await writeFile(join(folder.path, 'consumers', 'apply.json'), text);
    assert.equal((await consumersOf(folder.path)).get('apply'), 0, text);
  }
});

test('a full disk gets the room of what nobody needs', async ({ signal }) => {
  await using folder = await temporaryFolder();
  const faults: Faults = {};
  await using writer = await openLogBroker({ ...small(folder.path), disk: faultyDisk(faults) }, signal);
  for (const batch of wholes(60)) await writer.append(first, batch);
  const before = await segments(folder.path);
  await using reader = await openLogReader({ folder: folder.path }, signal);
  await reader.release('apply', offset(60));
  faults.room = () => 0;
  for (const batch of wholes(2, 61))
    await assert.rejects(writer.append(first, batch), (error) => isCode(error, 'BROKER_DISK_FULL'));
  assert.ok(before > 2 && (await segments(folder.path)) === 1);
  delete faults.room;
  await writer.append(first, wholes(1, 61)[0] ?? assert.fail());
  assert.deepEqual(await writer.tail(), position(61));
});

test('the folder of a log is for its owner only', async ({ signal }) => {
  await using folder = await temporaryFolder();
  const inner = join(folder.path, 'data', 'log');
  await using _writer = await openLogBroker({ folder: inner }, signal);
  assert.equal((await stat(inner)).mode & 0o777, 0o700);
  for (const name of (await readdir(inner)).filter((name) => name.endsWith('.segment') || name === 'end'))
    assert.equal((await stat(join(inner, name))).mode & 0o077, 0, name);
  assert.equal(JSON.parse(await readFile(join(inner, 'stream.json'), 'utf8')).format, 1);
});

test('says how many bytes lie behind any entry, asked in any order', async ({ signal }) => {
  await using folder = await temporaryFolder();
  await using writer = await openLogBroker({ folder: folder.path, segmentBytesMax: 200_000 }, signal);
  for (let from = 1; from < 5000; from += 500)
    await Promise.all(wholes(500, from, from).map((batch) => writer.append(first, batch)));
  await using reader = await openLogReader({ folder: folder.path }, signal);
  const sizes: number[] = [];
  for await (const entry of reader.read(offset(0), signal)) if (sizes.push(entry.bytes) === 5000) break;
  const observation = await reader.observe();
  for (const from of [0, 1, 499, 500, 2300, 2301, 2400, 4999, 77, 2300, 5000]) {
    const entries = sizes.slice(from).reduce((sum, bytes) => sum + bytes, 0);
    const found = await observation.bytesFrom(offset(from));
    // The heads of the segments behind are bytes of the log, too.
    assert.ok(found >= entries && found < entries + 40 * 200, `${found} for ${entries} from ${from}`);
    if (from > 4500) assert.equal(found, entries);
  }
});
