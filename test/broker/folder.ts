import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
}

export async function temporaryFolder(): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), 'changeover-log-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** A copy of a log without its lock: to open and close the lock's file would drop the lock of this process (fcntl(2)). */
export async function copyOf(folder: string): Promise<TemporaryFolder> {
  const copy = await temporaryFolder();
  await cp(folder, copy.path, { recursive: true, filter: (path) => basename(path) !== 'lock' });
  return copy;
}
