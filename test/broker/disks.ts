import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Disk, type DiskFile, disk } from '../../src/broker/log/disk.ts';
import { copyOf, type TemporaryFolder } from './folder.ts';

export const errno = (code: string): Error => Object.assign(new Error(code), { code });

export interface Faults {
  /** Says how many bytes of a write still fit, undefined: all. The rest fails with ENOSPC. */
  room?: (file: string, bytes: number) => number | undefined;
  /** Comes before each sync: it can fail it, or hold it up. */
  sync?: (file: string) => Promise<void>;
  /** Comes before each half of a write, each sync and each removal: it can hold it up. */
  before?: (file: string) => Promise<void>;
}

/** The real disk, as long as `faults` has nothing against it. */
export const faultyDisk = (faults: Faults): Disk => ({
  ...disk,
  async open(path, how) {
    const file = await disk.open(path, how);
    const name = basename(path);
    return {
      ...file,
      async write(bytes, position) {
        const room = faults.room?.(name, bytes.length);
        const whole = bytes.subarray(0, room ?? bytes.length);
        const half = faults.before ? whole.length >> 1 : 0;
        if (half > 0) {
          await faults.before?.(name);
          await file.write(whole.subarray(0, half), position);
        }
        await faults.before?.(name);
        await file.write(whole.subarray(half), position + half);
        if (room !== undefined && room < bytes.length) throw errno('ENOSPC');
      },
      async sync() {
        await faults.before?.(name);
        await faults.sync?.(name);
        await file.sync();
      },
    };
  },
  async remove(path) {
    await faults.before?.(basename(path));
    await disk.remove(path);
  },
});

/** The real disk, and what a power cut would leave of it: of what no sync covered, any part. */
export interface FragileDisk extends Disk {
  /** Cuts the power behind so many more deeds (a write, a sync, …). `chance` in [0, 1). */
  arm(folder: string, deeds: number, chance: () => number): void;
  /** A copy of the folder after the cut, which comes now if so many deeds did not. */
  afterCut(): Promise<TemporaryFolder>;
}

export function fragileDisk(): FragileDisk {
  /** Content at the last sync, by path, of files with anything written since. */
  const synced = new Map<string, Buffer>();
  const unnamed = new Set<string>();
  let armed: { left: number; readonly cut: () => Promise<TemporaryFolder> } | undefined;
  let done: Promise<TemporaryFolder> | undefined;
  let last: Promise<unknown> = Promise.resolve();
  /** One deed at a time: the cut falls between two of them. */
  const alone = <T>(deed: () => Promise<T>): Promise<T> => {
    const next = last.then(async () => {
      if (armed && armed.left-- === 0) await (done ??= armed.cut());
      return deed();
    });
    last = next.catch(() => undefined);
    return next;
  };
  const touched = async (path: string): Promise<void> => {
    if (!synced.has(path)) synced.set(path, await readFile(path));
  };
  const open = async (path: string, how: 'create' | 'existing'): Promise<DiskFile> => {
    const file = await disk.open(path, how);
    if (how === 'create') {
      unnamed.add(path);
      synced.set(path, Buffer.alloc(0));
    }
    return {
      write: (bytes, position) => alone(() => touched(path).then(() => file.write(bytes, position))),
      truncate: (bytes) => alone(() => touched(path).then(() => file.truncate(bytes))),
      sync: () => alone(() => file.sync().then(() => void synced.delete(path))),
      close: () => alone(() => file.close()),
    };
  };
  const cut = async (folder: string, chance: () => number): Promise<TemporaryFolder> => {
    const copy = await copyOf(folder);
    const sectorBytes = chance() < 0.5 ? 64 : 512;
    for (const [path, before] of synced)
      await writeFile(join(copy.path, basename(path)), mixed(before, await readFile(path), sectorBytes, chance));
    for (const path of unnamed) if (chance() < 0.5) await rm(join(copy.path, basename(path)));
    return copy;
  };
  return {
    open: (path, how) => alone(() => open(path, how)),
    remove: (path) => alone(() => disk.remove(path)),
    syncFolder: (path) => alone(() => disk.syncFolder(path).then(() => unnamed.clear())),
    arm(folder, deeds, chance) {
      armed = { left: deeds, cut: () => cut(folder, chance) };
    },
    afterCut() {
      assert.ok(armed);
      return (done ??= armed.cut());
    },
  };
}

/** Some sectors as they were, some as they were to be, zeros where neither was written, and any length between. */
function mixed(before: Buffer, now: Buffer, sectorBytes: number, chance: () => number): Buffer {
  const length = Math.floor(before.length + (now.length - before.length) * (chance() < 0.5 ? 1 : chance()));
  const left = Buffer.alloc(length);
  before.copy(left);
  for (let at = 0; at < left.length; at += sectorBytes)
    if (chance() < 0.7) now.copy(left, at, at, Math.min(at + sectorBytes, left.length));
  return left;
}

/** A repeatable source of chance (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixedBits = Math.imul(state ^ (state >>> 15), 1 | state);
    mixedBits = (mixedBits + Math.imul(mixedBits ^ (mixedBits >>> 7), 61 | mixedBits)) ^ mixedBits;
    return ((mixedBits ^ (mixedBits >>> 14)) >>> 0) / 2 ** 32;
  };
}
