import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { type LogFinding, verifyLog } from '../../src/broker/log/verify.ts';

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

/** The last word of a verification. */
export async function verdictOn(folder: string, signal: AbortSignal): Promise<LogFinding | undefined> {
  let last: LogFinding | undefined;
  for await (const finding of verifyLog({ folder }, signal)) last = finding;
  return last;
}
