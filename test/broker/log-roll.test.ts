// Readers that come while the writer closes a segment and begins the next.
import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { openLogReader } from '../../src/broker/log/reader.ts';
import { openLogBroker } from '../../src/broker/log/writer.ts';
import { offset } from '../../src/change/position.ts';
import { take } from '../conformance/broker.ts';
import { first, whole } from './batches.ts';
import { type Faults, faultyDisk } from './disks.ts';
import { type TemporaryFolder, temporaryFolder } from './folder.ts';

const timeout = 60_000;

/** A log whose every entry needs a segment of its own; what is released is trimmed at the next chance. */
const oneEach = (folder: TemporaryFolder, faults: Faults) =>
  ({ folder: folder.path, disk: faultyDisk(faults), segmentBytesMax: 1024, keepBytes: 0, keepMs: 0 }) as const;

/** Many times the trips to the disk that a reader takes to open, to read and to fail. */
async function turns(folder: TemporaryFolder): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await stat(folder.path);
}

/** Holds the second append before its first deed on the disk, its second, and so on; at each a reader comes for the second entry, and
 *  another is there already. Says before which files it was held. */
async function readersAtEachDeed(
  { signal }: TestContext,
  { released }: { readonly released: boolean },
): Promise<string[]> {
  const heldBefore: string[] = [];
  for (let deed = 0; ; deed += 1) {
    await using folder = await temporaryFolder();
    const faults: Faults = {};
    await using writer = await openLogBroker(oneEach(folder, faults), signal);
    await writer.append(first, whole(1, 900));
    await using early = await openLogReader({ folder: folder.path }, signal);
    if (released) await early.release('apply', offset(1));
    const waiting = take(early, 1, 1, signal);
    const [held, release] = [Promise.withResolvers<string>(), Promise.withResolvers<void>()];
    // Also where the test fails: a writer that is held up cannot close.
    using _end = { [Symbol.dispose]: () => release.resolve() };
    let left = deed;
    faults.before = async (file) => {
      if (left-- > 0) return;
      held.resolve(file);
      await release.promise;
    };
    const appending = writer.append(first, whole(2, 900));
    const file = await Promise.race([held.promise, appending.then(() => undefined)]);
    if (file !== undefined) {
      heldBefore.push(file);
      await using late = await openLogReader({ folder: folder.path }, signal);
      const coming = take(late, 1, 1, signal);
      const said = await Promise.race([waiting, coming, turns(folder)]);
      assert.equal(said, undefined, `read before deed ${deed}, on ${file}`);
      release.resolve();
      await appending;
      assert.deepEqual((await coming)[0]?.batch, whole(2, 900));
    }
    assert.deepEqual((await waiting)[0]?.batch, whole(2, 900));
    assert.equal((await readdir(folder.path)).filter((name) => name.endsWith('.segment')).length, released ? 1 : 2);
    if (file === undefined) return heldBefore;
  }
}

const [old, next] = ['00000000000000000000.segment', '00000000000000000001.segment'];

test('whenever a reader comes while a segment begins, it waits, and gets the entry once that is durable', {
  timeout,
}, async (t) => {
  const head = [next, next, next];
  const entry = [next, next, next];
  assert.deepEqual(await readersAtEachDeed(t, { released: false }), [...head, 'end', 'end', ...entry, 'end', 'end']);
});

test('whenever a reader comes while a segment begins and the one before is trimmed, it waits at the end and gets the entry', {
  timeout,
}, async (t) => {
  const head = [next, next, next];
  const entry = [next, next, next];
  const deeds = [...head, 'end', 'end', old, ...entry, 'end', 'end'];
  assert.deepEqual(await readersAtEachDeed(t, { released: true }), deeds);
});

test('a reader that opens while the writer goes on to the next segment gets nothing before it is durable', {
  timeout,
}, async ({ signal }) => {
  await using folder = await temporaryFolder();
  const faults: Faults = {};
  await using writer = await openLogBroker(oneEach(folder, faults), signal);
  await using reader = await openLogReader({ folder: folder.path }, signal);
  await writer.append(first, whole(1, 900));
  for (let order = 2; order <= 50; order += 1) {
    let reading: Promise<unknown> | undefined;
    let early: unknown;
    // From where the new segment is published on, reader and writer run side by side, up to the sync of the entry.
    faults.room = (file) => {
      if (file === 'end') reading ??= take(reader, order - 1, 1, signal);
      return undefined;
    };
    faults.sync = async () => {
      if (reading) early = await Promise.race([reading, turns(folder)]);
    };
    await writer.append(first, whole(order, 900));
    assert.equal(early, undefined, `entry ${order - 1}`);
    await reading;
  }
});
