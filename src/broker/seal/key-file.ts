import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ChangeoverError } from '../../error.ts';
import type { Finding } from '../../finding.ts';
import type { KeyRing } from '../key-ring.ts';
import { openKeyList } from './key-list.ts';

/** A ring in a file of its own, which is read again for every new data key and for every key that is met for the first time. */
export const openKeyFile = (path: string): KeyRing => ({
  ...openKeyList({ name: `key file ${path}`, read: () => content(path), add: (key) => addKey(path, key) }),
  async check(): Promise<readonly Finding[]> {
    // One that is not there is found by who wants a key of it.
    const mode = await stat(path).then(
      (found) => found.mode & 0o777,
      () => 0o600,
    );
    if ((mode & 0o077) === 0) return [];
    return [
      {
        severity: 'warning',
        check: 'seal-key-file',
        site: 'broker',
        message: `Others than its owner may use the key file ${path} (mode ${mode.toString(8)})`,
        cure: `chmod 600 ${path}`,
      },
    ];
  },
});

async function content(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const isMissing = codeOf(cause) === 'ENOENT';
    throw new ChangeoverError('BROKER_KEY_UNREACHABLE', `The key file ${path} cannot be read (${codeOf(cause)})`, {
      cause,
      ...(isMissing && { hint: 'Bring the key file of this stream here. For a new stream: changeover keys rotate.' }),
    });
  }
}

/** In one step, and on the disk when it returns: a key that seals and is lost takes the stream with it. Makes the file where there is
 *  none, readable by its owner alone. */
async function addKey(path: string, key: string): Promise<void> {
  const before = await content(path).catch((error: unknown) => {
    if (error instanceof ChangeoverError && codeOf(error.cause) === 'ENOENT') return heading;
    throw error;
  });
  const line = `${key} # added ${new Date().toISOString()}\n`;
  const added = `${before.endsWith('\n') ? before : `${before}\n`}${line}`;
  const next = `${path}.new`;
  try {
    await using file = await open(next, 'wx', 0o600);
    await file.writeFile(added);
    await file.sync();
  } catch (cause) {
    if (codeOf(cause) !== 'EEXIST') await rm(next, { force: true });
    const hint =
      codeOf(cause) === 'EEXIST'
        ? `${next} is there: another rotation is under way, or one was cut short. In that case remove it.`
        : undefined;
    throw new ChangeoverError('BROKER_KEY_UNREACHABLE', `${next} cannot be written (${codeOf(cause)})`, {
      cause,
      ...(hint !== undefined && { hint }),
    });
  }
  await rename(next, path);
  await using folder = await open(dirname(path), 'r');
  await folder.sync();
}

const heading = `# The key ring of changeover: one key a line. The last one seals, all of them open. Keep a copy of it elsewhere:
# without it nobody can read what is in the broker. Never keep it where the broker's operator can read it.
`;

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
