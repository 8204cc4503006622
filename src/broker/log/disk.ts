import { open, rename, unlink } from 'node:fs/promises';
import { ChangeoverError } from '../../error.ts';

/** What the writer asks of a file. Narrow, so that a test can stand in for a disk that fails. Errors are those of node:fs. */
export interface DiskFile {
  /** All of `bytes`, or it throws; then any part of them may be there. */
  write(bytes: Buffer, position: number): Promise<void>;
  /** Content and length survive a power cut once it resolves. After it threw nothing is known of anything written since the last
   *  success, and asking again proves nothing: https://wiki.postgresql.org/wiki/Fsync_Errors */
  sync(): Promise<void>;
  truncate(bytes: number): Promise<void>;
  close(): Promise<void>;
}

export interface Disk {
  /** `create` makes the file, or empties it. */
  open(path: string, how: 'create' | 'existing'): Promise<DiskFile>;
  remove(path: string): Promise<void>;
  /** Names made or removed in a folder survive a power cut once it resolves. */
  syncFolder(path: string): Promise<void>;
}

export const disk: Disk = {
  async open(path, how) {
    const file = await open(path, how === 'create' ? 'w' : 'r+', 0o600);
    return {
      async write(bytes, position) {
        // A disk that fills up takes a part first and says so only to the next write.
        for (let done = 0; done < bytes.length; ) {
          const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
          done += bytesWritten;
        }
      },
      sync: () => file.datasync(),
      truncate: (bytes) => file.truncate(bytes),
      close: () => file.close(),
    };
  },
  remove: unlink,
  async syncFolder(path) {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
};

/** A whole file or none, whatever happens: written beside, then renamed. */
export async function writeWhole(on: Disk, path: string, bytes: Buffer): Promise<void> {
  const beside = `${path}.new`;
  const file = await on.open(beside, 'create');
  try {
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(beside, path);
}

export const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

/** Puts an error of node:fs into the closed table. */
export function diskFailure(error: unknown, doing: string): ChangeoverError {
  if (error instanceof ChangeoverError) return error;
  const message = `${doing}: ${error instanceof Error ? error.message : String(error)}`;
  switch (errnoOf(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new ChangeoverError('BROKER_DISK_FULL', message, { cause: error });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new ChangeoverError('BROKER_IO', message, {
        cause: error,
        hint: 'This user must be able to write the data folder: check its owner and permissions.',
      });
    case undefined:
    default:
      return new ChangeoverError('BROKER_IO', message, { cause: error });
  }
}
