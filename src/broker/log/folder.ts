import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Offset, offset } from '../../change/position.ts';
import { ChangeoverError } from '../../error.ts';
import { type Disk, diskFailure, errnoOf, writeWhole } from './disk.ts';

/* stream.json       names the stream; written once
   <offset>.segment  entries, see format.ts
   end               where the durable bytes end, see format.ts
   consumers/*.json  what each consumer has released, see retention.ts
   lock              see lock.ts                                         */

export const formatVersion = 1;

export const segmentPath = (folder: string, base: Offset): string =>
  join(folder, `${String(base).padStart(20, '0')}.segment`);
export const endPath = (folder: string): string => join(folder, 'end');
export const lockPath = (folder: string): string => join(folder, 'lock');
export const consumersPath = (folder: string): string => join(folder, 'consumers');
const streamPath = (folder: string): string => join(folder, 'stream.json');

/** The offsets that segments of the folder begin with, ascending. */
export async function segmentBases(folder: string): Promise<readonly Offset[]> {
  const names = await readdir(folder);
  return names
    .filter((name) => /^\d{20}\.segment$/.test(name))
    .map((name) => offset(Number(name.slice(0, 20))))
    .toSorted((a, b) => a - b);
}

export async function segmentBytes(folder: string, base: Offset): Promise<number> {
  return (await stat(segmentPath(folder, base))).size;
}

/** The id of the stream in the folder; undefined when there is none. Throws BROKER_CORRUPT, BROKER_FORMAT, BROKER_IO. */
export async function readStream(folder: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(streamPath(folder), 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw diskFailure(error, `Reading ${streamPath(folder)}`);
  }
  const found = parseStream(text);
  if (!found) throw new ChangeoverError('BROKER_CORRUPT', `${streamPath(folder)} does not name a stream`);
  if (found.format !== formatVersion)
    throw new ChangeoverError(
      'BROKER_FORMAT',
      `The log in ${folder} has format ${found.format}, this program reads ${formatVersion}`,
    );
  return found.stream;
}

function parseStream(text: string): { readonly format: number; readonly stream: string } | undefined {
  try {
    const found: unknown = JSON.parse(text);
    if (typeof found !== 'object' || found === null || !('format' in found) || !('stream' in found)) return undefined;
    const { format, stream } = found;
    return typeof format === 'number' && typeof stream === 'string' ? { format, stream } : undefined;
  } catch {
    return undefined;
  }
}

export async function createFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await mkdir(consumersPath(folder), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw diskFailure(error, `Making ${folder}`);
  }
}

export async function createStream(on: Disk, folder: string, createdAtMs: number): Promise<string> {
  const stream = randomUUID();
  const text = JSON.stringify({ format: formatVersion, stream, createdAt: new Date(createdAtMs).toISOString() });
  await writeWhole(on, streamPath(folder), Buffer.from(`${text}\n`));
  await on.syncFolder(folder);
  return stream;
}
