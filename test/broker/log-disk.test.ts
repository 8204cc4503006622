import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Broker } from '../../src/broker/broker.ts';
import type { Disk } from '../../src/broker/log/disk.ts';
import { openLogReader } from '../../src/broker/log/reader.ts';
import { openLogBroker } from '../../src/broker/log/writer.ts';
import { epoch, type Offset } from '../../src/change/position.ts';
import { type Code, isCode } from '../../src/error.ts';
import { take } from '../conformance/broker.ts';
import { first, position, whole, wholes } from './batches.ts';
import { errno, type Faults, faultyDisk, fragileDisk, seeded } from './disks.ts';
import { temporaryFolder, verdictOn } from './folder.ts';

const timeout = 60_000;

const rejects = (promise: Promise<unknown>, code: Code): Promise<void> =>
  assert.rejects(promise, (error) => isCode(error, code));

const open = (folder: string, disk: Disk, signal: AbortSignal): Promise<Broker> =>
  openLogBroker({ folder, disk, segmentBytesMax: 4096 }, signal);

test('a full disk refuses a batch, takes its torn bytes away, and heals', { timeout }, async ({ signal }) => {
  await using folder = await temporaryFolder();
  const faults: Faults = {};
  await using writer = await open(folder.path, faultyDisk(faults), signal);
  await writer.append(first, whole(1));
  await using reader = await openLogReader({ folder: folder.path }, signal);
  for (const room of [0, 1, 50, 250, 3900]) {
    faults.room = () => room;
    const late = await Promise.allSettled([writer.append(first, whole(2)), writer.append(epoch(2), whole(3, 5000))]);
    assert.ok(late.every((one) => one.status === 'rejected' && isCode(one.reason, 'BROKER_DISK_FULL')));
    assert.deepEqual(await writer.tail(), position(1));
    assert.equal((await verdictOn(folder.path, signal))?.kind, 'whole');
  }
  delete faults.room;
  // Far enough for a new segment to begin: the one before is read to the end of its file from then on.
  for (const batch of wholes(20, 2, 300)) await writer.append(first, batch);
  assert.equal((await take(reader, 0, 21, signal)).length, 21);
  assert.equal((await verdictOn(folder.path, signal))?.kind, 'whole');
});

test('a disk that is full when a segment should begin heals as well', { timeout }, async ({ signal }) => {
  await using folder = await temporaryFolder();
  const faults: Faults = {};
  await using writer = await open(folder.path, faultyDisk(faults), signal);
  await writer.append(first, whole(1, 4000));
  for (const room of [0, 30]) {
    faults.room = () => room;
    await rejects(writer.append(first, whole(2, 4000)), 'BROKER_DISK_FULL');
    assert.equal((await verdictOn(folder.path, signal))?.kind, 'whole');
  }
  delete faults.room;
  assert.equal(await writer.append(first, whole(2, 4000)), 1);
  await using reader = await openLogReader({ folder: folder.path }, signal);
  assert.equal((await take(reader, 0, 2, signal)).length, 2);
});

test('after a sync that failed the log takes nothing until it is opened again', { timeout }, async ({ signal }) => {
  await using folder = await temporaryFolder();
  const faults: Faults = {};
  {
    await using writer = await open(folder.path, faultyDisk(faults), signal);
    await writer.append(first, whole(1));
    faults.sync = async () => {
      throw errno('EIO');
    };
    await rejects(writer.append(first, whole(2)), 'BROKER_IO');
    delete faults.sync;
    await rejects(writer.append(first, whole(2)), 'BROKER_IO');
    await using reader = await openLogReader({ folder: folder.path }, signal);
    assert.equal((await reader.observe()).next, 1);
  }
  // What was written is whole, so it is kept, but only once the disk was made to take it again.
  const written: string[] = [];
  faults.room = (file) => void written.push(file);
  await using writer = await open(folder.path, faultyDisk(faults), signal);
  assert.ok(written.some((file) => file.endsWith('.segment')));
  assert.deepEqual(await writer.tail(), position(2));
  assert.equal(await writer.append(first, whole(3)), 2);
  assert.equal((await verdictOn(folder.path, signal))?.kind, 'whole');
});

test('the head of a segment is durable before an entry is written behind it', { timeout }, async ({ signal }) => {
  await using folder = await temporaryFolder();
  const deeds = new Map<string, string[]>();
  const did = (file: string, deed: string): void => void deeds.set(file, [...(deeds.get(file) ?? []), deed]);
  const faults: Faults = {
    room: (file) => {
      did(file, 'write');
      return undefined;
    },
    sync: async (file) => did(file, 'sync'),
  };
  await using writer = await open(folder.path, faultyDisk(faults), signal);
  for (const batch of wholes(4, 1, 3000)) await writer.append(first, batch);
  const segments = [...deeds].filter(([file]) => file.endsWith('.segment'));
  assert.equal(segments.length, 4);
  for (const [file, all] of segments) assert.deepEqual(all, ['write', 'sync', 'write', 'sync'], file);
});

test('a reader gets nothing that is written but not yet durable', { timeout }, async ({ signal }) => {
  await using folder = await temporaryFolder();
  const faults: Faults = {};
  await using writer = await open(folder.path, faultyDisk(faults), signal);
  await writer.append(first, whole(1));
  await using reader = await openLogReader({ folder: folder.path }, signal);
  const [written, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  faults.sync = () => {
    written.resolve();
    return release.promise;
  };
  const events: string[] = [];
  const appending = writer.append(first, whole(2));
  await written.promise;
  const reading = take(reader, 1, 1, signal).then(() => events.push('read'));
  // Many turns, in each of which a reader that looked at the file alone would have found the entry.
  for (let turns = 0; turns < 50; turns += 1) assert.equal((await reader.observe()).next, 1);
  events.push('durable');
  release.resolve();
  await Promise.all([appending, reading]);
  assert.deepEqual(events, ['durable', 'read']);
});

test('after any power cut every batch that was acknowledged is there', { timeout }, async ({ signal }) => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const chance = seeded(seed);
    await using folder = await temporaryFolder();
    const disk = fragileDisk();
    const segmentBytesMax = chance() < 0.5 ? 1024 : 8192;
    await using writer = await openLogBroker({ folder: folder.path, disk, segmentBytesMax }, signal);
    const [cutAfter, bytes] = [Math.floor(chance() * 60), Math.floor(chance() * 900)];
    let acknowledged = 0;
    // In bursts, so that groups hold several entries.
    const burst = (): Promise<readonly Offset[]> =>
      Promise.all(
        wholes(1 + Math.floor(chance() * 5), acknowledged + 1, bytes).map((batch) => writer.append(first, batch)),
      );
    while (acknowledged < cutAfter) acknowledged += (await burst()).length;
    // Between two of the deeds that the next burst takes, or before or behind them.
    disk.arm(folder.path, Math.floor(chance() * 9), chance);
    await burst();
    await using left = await disk.afterCut();
    await checkAfterCut(left.path, acknowledged, `seed ${seed}`, signal);
  }
});

async function checkAfterCut(folder: string, promised: number, what: string, signal: AbortSignal): Promise<void> {
  await using writer = await openLogBroker({ folder, segmentBytesMax: 4096 }, signal).catch((cause) =>
    assert.fail(new Error(what, { cause })),
  );
  const tail = Number((await writer.tail())?.order ?? 0);
  assert.ok(tail >= promised, `${what}: ${promised} acknowledged, ${tail} left`);
  for (const batch of wholes(2, tail + 1, 3000)) await writer.append(first, batch);
  assert.equal((await verdictOn(folder, signal))?.kind, 'whole', what);
}
