import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openLogReader } from '../../src/broker/log/reader.ts';
import { verifyLog } from '../../src/broker/log/verify.ts';
import { openLogBroker } from '../../src/broker/log/writer.ts';
import { offset } from '../../src/change/position.ts';
import { ChangeoverError, isCode } from '../../src/error.ts';
import { first, position, whole, wholes } from './batches.ts';
import { seeded } from './disks.ts';
import { copyOf, type TemporaryFolder, temporaryFolder, verdictOn } from './folder.ts';

const timeout = 60_000;
const segmentName = `${'0'.repeat(20)}.segment`;

async function segmentNames(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder);
  return names.filter((name) => name.endsWith('.segment')).toSorted();
}

/** A log of `count` entries, each appended by itself. */
async function logOf(count: number, signal: AbortSignal, segmentBytesMax = 64 * 1024): Promise<TemporaryFolder> {
  const folder = await temporaryFolder();
  await using writer = await openLogBroker({ folder: folder.path, segmentBytesMax }, signal);
  for (const batch of wholes(count)) await writer.append(first, batch);
  return folder;
}

const corrupt = (pattern: RegExp) => (error: unknown) =>
  isCode(error, 'BROKER_CORRUPT') && error instanceof Error && pattern.test(error.message);

/** Opens the log, appends what follows the first `left` until another segment begins, and says that all is whole. */
async function goesOnAfter(left: number, folder: string, what: string, signal: AbortSignal): Promise<void> {
  await using writer = await openLogBroker({ folder, segmentBytesMax: 1024 }, signal);
  assert.deepEqual(await writer.tail(), left === 0 ? undefined : position(left), what);
  for (const batch of wholes(4, left + 1)) await writer.append(first, batch);
  assert.equal((await verdictOn(folder, signal))?.kind, 'whole', what);
}

test('an entry cut short at any byte is lost alone, if it was never acknowledged', { timeout }, async ({ signal }) => {
  await using folder = await logOf(3, signal);
  const [segment, end] = [join(folder.path, segmentName), join(folder.path, 'end')];
  const [before, endBefore] = [await readFile(segment), await readFile(end)];
  {
    await using writer = await openLogBroker({ folder: folder.path }, signal);
    await writer.append(first, whole(4));
  }
  const after = await readFile(segment);
  for (let length = before.length; length < after.length; length += 1)
    for (const zeros of length % 5 === 0 ? [0, 7, 500] : [0]) {
      for (const name of await segmentNames(folder.path)) await rm(join(folder.path, name));
      await writeFile(segment, Buffer.concat([after.subarray(0, length), Buffer.alloc(zeros)]));
      await writeFile(end, endBefore);
      await goesOnAfter(3, folder.path, `cut to ${length} of ${after.length}, ${zeros} zeros behind`, signal);
    }
  // It was written as a whole: nothing speaks against it, so it stays.
  for (const name of await segmentNames(folder.path)) await rm(join(folder.path, name));
  await writeFile(segment, after);
  await writeFile(end, endBefore);
  await goesOnAfter(4, folder.path, 'whole', signal);
});

test('a log that lost what was acknowledged says so instead of going on', { timeout }, async ({ signal }) => {
  await using folder = await logOf(3, signal);
  const bytes = await readFile(join(folder.path, segmentName));
  const opening = async (length: number): Promise<unknown> => {
    await writeFile(join(folder.path, segmentName), bytes.subarray(0, length));
    return openLogBroker({ folder: folder.path }, signal);
  };
  for (let length = 0; length < bytes.length; length += 1)
    await assert.rejects(opening(length), corrupt(/segment, entry \d+, byte \d+|Segments are missing/), `${length}`);
});

test('damage in front of entries that came later is never taken for a torn end', { timeout }, async ({ signal }) => {
  await using folder = await logOf(6, signal);
  const bytes = await readFile(join(folder.path, segmentName));
  await rm(join(folder.path, 'end'));
  const third = bytes.indexOf(Buffer.from('batch 3 '));
  assert.ok(third > 0);
  bytes[third] = 0;
  await writeFile(join(folder.path, segmentName), bytes);
  await assert.rejects(openLogBroker({ folder: folder.path }, signal), corrupt(/entry 2, byte \d+: its checksum/));
});

test('the file end is made anew when it is missing, old or damaged', { timeout }, async ({ signal }) => {
  await using folder = await logOf(2, signal);
  const old = await readFile(join(folder.path, 'end'));
  await goesOnAfter(2, folder.path, 'as it was', signal);
  await writeFile(join(folder.path, 'end'), old);
  await goesOnAfter(6, folder.path, 'old', signal);
  await writeFile(join(folder.path, 'end'), old.fill(0, 20, 30));
  await assert.rejects(verdictOn(folder.path, signal), corrupt(/does not say where the log ends/));
  await goesOnAfter(10, folder.path, 'damaged', signal);
  await rm(join(folder.path, 'end'));
  await goesOnAfter(14, folder.path, 'missing', signal);
});

test('a segment whose head a crash cut short is begun again', { timeout }, async ({ signal }) => {
  await using folder = await logOf(12, signal, 1024);
  assert.ok((await segmentNames(folder.path)).length > 2);
  const next = join(folder.path, `${'12'.padStart(20, '0')}.segment`);
  for (const bytes of [0, 1, 60]) {
    await using copy = await copyOf(folder.path);
    await writeFile(next.replace(folder.path, copy.path), Buffer.alloc(bytes, 'chgover1'));
    await goesOnAfter(12, copy.path, `${bytes} bytes of a head`, signal);
  }
});

test('a missing segment is named, by who opens, reads and verifies', { timeout }, async ({ signal }) => {
  await using folder = await logOf(30, signal, 1024);
  const names = await segmentNames(folder.path);
  for (const name of [names[1] ?? '', names.at(-1) ?? '']) {
    await using copy = await copyOf(folder.path);
    await rm(join(copy.path, name));
    const verdict = await verdictOn(copy.path, signal);
    assert.ok(verdict?.kind === 'broken' && Number(name.slice(0, 20)) === verdict.offset);
    assert.deepEqual(await readUntilBroken(copy.path, signal), verdict.offset);
    if (name === names.at(-1)) await assert.rejects(openLogBroker({ folder: copy.path }, signal), corrupt(/segment/));
  }
});

test('a bit that flips anywhere is found, and its entry named, by verify and by who reads', { timeout }, async (t) => {
  const { signal } = t;
  await using folder = await logOf(40, signal, 2048);
  const names = await segmentNames(folder.path);
  const chance = seeded(7);
  for (let round = 0; round < 150; round += 1) {
    const name = names[Math.floor(chance() * names.length)] ?? '';
    const bytes = await readFile(join(folder.path, name));
    const at = Math.floor(chance() * bytes.length);
    const entry = entryAt(Number(name.slice(0, 20)), bytes, at);
    const damaged = Buffer.from(bytes);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << Math.floor(chance() * 8));
    await writeFile(join(folder.path, name), damaged);
    const verdict = await verdictOn(folder.path, signal);
    const what = `byte ${at} of ${name}, round ${round}`;
    assert.ok(verdict?.kind === 'broken' && verdict.offset === entry, what);
    assert.equal(await readUntilBroken(folder.path, signal), entry, what);
    await writeFile(join(folder.path, name), bytes);
  }
  assert.equal((await verdictOn(folder.path, signal))?.kind, 'whole');
});

/** The entry that the byte `at` of a whole segment belongs to; the first for the head. */
function entryAt(base: number, bytes: Buffer, at: number): number {
  const mark = Buffer.from([0xc4, 0x0e, 0x17, 0x1e]);
  let entry = base - 1;
  for (let place = bytes.indexOf(mark); place !== -1 && place <= at; place = bytes.indexOf(mark, place + 4)) entry += 1;
  return Math.max(base, entry);
}

/** Reads from the start; returns the offset behind the last entry that was handed out before BROKER_CORRUPT. */
async function readUntilBroken(folder: string, signal: AbortSignal): Promise<number> {
  await using reader = await openLogReader({ folder }, signal);
  let next = 0;
  try {
    for await (const entry of reader.read(offset(0), signal)) {
      assert.equal(entry.offset, next);
      next += 1;
    }
  } catch (error) {
    assert.ok(error instanceof ChangeoverError && error.code === 'BROKER_CORRUPT');
    assert.match(error.message, new RegExp(`entry ${next}, byte \\d+:`));
  }
  return next;
}

test('an entry exchanged for another that is right in itself is found', { timeout }, async ({ signal }) => {
  await using folder = await logOf(5, signal);
  await using other = await copyOf(folder.path);
  await rm(join(other.path, segmentName));
  await rm(join(other.path, 'end'));
  {
    // The same stream, told differently from its second entry on.
    await using writer = await openLogBroker({ folder: other.path }, signal);
    for (const [index, batch] of wholes(5).entries())
      await writer.append(first, index === 1 ? { ...batch, changes: whole(9).changes } : batch);
  }
  await writeFile(join(folder.path, segmentName), await readFile(join(other.path, segmentName)));
  const findings = verifyLog({ folder: folder.path }, signal);
  const { value } = await findings.next();
  assert.equal(value?.kind === 'broken' && value.why, 'the log does not end as its writer recorded');
});

test('who goes on reading checks the entry that he has last, and all behind it', { timeout }, async ({ signal }) => {
  await using folder = await logOf(6, signal);
  const path = join(folder.path, segmentName);
  const bytes = await readFile(path);
  const readFrom4 = async (): Promise<number[]> => {
    await using reader = await openLogReader({ folder: folder.path }, signal);
    const offsets: number[] = [];
    for await (const entry of reader.read(offset(4), signal)) {
      offsets.push(entry.offset);
      if (entry.offset === 5) break;
    }
    return offsets;
  };
  const damaged = (entry: number): Buffer => {
    const at = bytes.findLastIndex((_, index) => entryAt(0, bytes, index) === entry);
    return Buffer.concat([bytes.subarray(0, at), Buffer.from([(bytes[at] ?? 0) ^ 1]), bytes.subarray(at + 1)]);
  };
  assert.deepEqual(await readFrom4(), [4, 5]);
  await writeFile(path, damaged(1));
  assert.deepEqual(await readFrom4(), [4, 5]);
  for (const entry of [3, 4]) {
    await writeFile(path, damaged(entry));
    await assert.rejects(readFrom4(), corrupt(new RegExp(`entry ${entry},`)));
  }
  // The entries behind are right in themselves, and follow another one than this.
  await using other = await copyOf(folder.path);
  await rm(join(other.path, segmentName));
  await rm(join(other.path, 'end'));
  {
    await using writer = await openLogBroker({ folder: other.path }, signal);
    for (const [index, batch] of wholes(6).entries())
      await writer.append(first, index === 3 ? { ...batch, changes: whole(9).changes } : batch);
  }
  const told = await readFile(join(other.path, segmentName));
  assert.equal(told.length, bytes.length);
  const fifth = bytes.findIndex((_, index) => entryAt(0, bytes, index) === 4);
  await writeFile(path, Buffer.concat([bytes.subarray(0, fifth), told.subarray(fifth)]));
  await assert.rejects(readFrom4(), corrupt(/entry 4,.*the hash chain breaks/));
});

test('an empty folder has no log to read, and one that only its segments are left of is not begun anew', async (t) => {
  const { signal } = t;
  await using empty = await temporaryFolder();
  await assert.rejects(openLogReader({ folder: empty.path }, signal), (error) => isCode(error, 'BROKER_EMPTY'));
  await assert.rejects(verdictOn(empty.path, signal), (error) => isCode(error, 'BROKER_EMPTY'));
  await using folder = await logOf(2, signal);
  await rm(join(folder.path, 'stream.json'));
  await assert.rejects(openLogBroker({ folder: folder.path }, signal), corrupt(/no stream.json/));
  await using gone = await logOf(2, signal);
  await rm(join(gone.path, segmentName));
  await assert.rejects(openLogBroker({ folder: gone.path }, signal), corrupt(/Segments are missing/));
});

test('a log of another format is refused, not guessed at', async ({ signal }) => {
  await using folder = await logOf(1, signal);
  const path = join(folder.path, 'stream.json');
  await writeFile(path, (await readFile(path, 'utf8')).replace('"format":1', '"format":2'));
  await assert.rejects(openLogBroker({ folder: folder.path }, signal), (error) => isCode(error, 'BROKER_FORMAT'));
  await assert.rejects(openLogReader({ folder: folder.path }, signal), (error) => isCode(error, 'BROKER_FORMAT'));
});
