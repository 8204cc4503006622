import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Request } from './decide.ts';

/* What an operator asks for reaches the coordinator as a file in the data folder, and what became of it is in the journal. */

const requestsFolder = (folder: string): string => join(folder, 'requests');
const fileOf = (folder: string, id: string): string => join(requestsFolder(folder), `${id}.json`);

export async function putRequest(folder: string, request: Request): Promise<void> {
  await mkdir(requestsFolder(folder), { recursive: true, mode: 0o700 });
  const file = fileOf(folder, request.id);
  await writeFile(`${file}.new`, JSON.stringify(request), { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** Oldest first: an id begins with its time. What is no request is passed over. */
export async function openRequests(folder: string): Promise<readonly Request[]> {
  const names = await readdir(requestsFolder(folder)).catch(() => []);
  const files = names.filter((name) => name.endsWith('.json')).toSorted();
  const texts = await Promise.all(
    files.map((name) => readFile(join(requestsFolder(folder), name), 'utf8').catch(() => '')),
  );
  return texts.flatMap((text) => requestIn(text) ?? []);
}

/** It is in the journal now, or nobody wants it any more. */
export const dropRequest = (folder: string, id: string): Promise<void> => rm(fileOf(folder, id), { force: true });

function requestIn(text: string): Request | undefined {
  try {
    const request = JSON.parse(text) as Partial<Request>;
    const isKnown = request.what === 'switchover' || request.what === 'failover' || request.what === 'cancel';
    return isKnown && typeof request.id === 'string' ? (request as Request) : undefined;
  } catch {
    return undefined;
  }
}
