import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serverOwner } from '../../src/demo/postgres-home.ts';

export interface SmallDisk extends AsyncDisposable {
  readonly folder: string;
}

/** A disk in memory of so many bytes. Undefined where we may not mount one. */
export async function openSmallDisk(megabytes: number): Promise<SmallDisk | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-disk-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=777`, 'tmpfs', folder]);
  if (mounted.status !== 0) {
    await rm(folder, { recursive: true });
    return undefined;
  }
  return {
    folder,
    async [Symbol.asyncDispose]() {
      spawnSync('umount', ['-l', folder]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A folder that a server may keep a tablespace in. */
export async function folderOfServer(disk: SmallDisk): Promise<string> {
  const folder = join(disk.folder, 'tablespace');
  await mkdir(folder);
  await chmod(folder, 0o700);
  const owner = await serverOwner();
  if (owner) await chown(folder, owner.uid, owner.gid);
  return folder;
}
