import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type ChangeoverError, type Code, errorTable } from '../error.ts';

export type Role = 'capture' | 'apply';

/** How much of the first copy capture has read. The bytes are those that the tables take at the primary. */
export interface CopyProgress {
  readonly rows: number;
  readonly bytes: number;
  readonly bytesAll: number;
  /** Since it began. */
  readonly bytesPerSecond: number;
}

/** What an agent tells about itself. */
export interface LifeNews {
  readonly role: Role;
  /** The site that it reads from or writes to. */
  readonly site: string;
  readonly state: 'running' | 'retrying' | 'stopped';
  /** Why it tries again, or why it stopped. Undefined: it runs, or it was stopped in order. */
  readonly error?: ChangeoverError;
  /** When it came into this state; the time of writing, if not given. */
  readonly sinceMs?: number;
  /** How fast the primary writes WAL, as capture sees it. */
  readonly walBytesPerSecond?: number;
  /** Only while a copy is under way. */
  readonly copy?: CopyProgress;
}

/** A life file as it is read back. */
export interface AgentLife {
  readonly role: Role;
  readonly site: string;
  readonly pid: number;
  readonly host: string;
  readonly state: LifeNews['state'];
  readonly code?: Code;
  readonly message?: string;
  readonly hint?: string;
  /** Milliseconds since 1970, by the agent's clock. */
  readonly sinceMs: number;
  readonly walBytesPerSecond?: number;
  /** Only while a copy is under way. */
  readonly copy?: CopyProgress;
}

const agentsFolder = (folder: string): string => join(folder, 'agents');
const lifeFile = (folder: string, { role, site }: Pick<LifeNews, 'role' | 'site'>): string =>
  join(agentsFolder(folder), `${role === 'capture' ? role : `${role}-${site}`}.json`);

/** Replaces the agent's life file under the data folder, so that a reader sees the old one or the new one, never a part. One
 *  writer for each agent, one call at a time. */
export async function writeLife(folder: string, { error, ...news }: LifeNews): Promise<void> {
  const life: AgentLife = {
    ...news,
    sinceMs: news.sinceMs ?? Date.now(),
    pid: process.pid,
    host: hostname(),
    ...(error && { code: error.code, message: error.message, hint: error.hint }),
  };
  await mkdir(agentsFolder(folder), { recursive: true, mode: 0o700 });
  const file = lifeFile(folder, life);
  await writeFile(`${file}.${process.pid}.new`, `${JSON.stringify(life)}\n`, { mode: 0o600 });
  await rename(`${file}.${process.pid}.new`, file);
}

/** Every agent that ever ran on this data folder. What is no life file is passed over: lives are hints, the facts are asked of
 *  the databases. */
export async function readLives(folder: string): Promise<readonly AgentLife[]> {
  const names = await readdir(agentsFolder(folder)).catch(() => []);
  const files = names.filter((name) => name.endsWith('.json')).toSorted();
  const texts = await Promise.all(
    files.map((name) => readFile(join(agentsFolder(folder), name), 'utf8').catch(() => '')),
  );
  return texts.flatMap((text) => lifeIn(text) ?? []);
}

function lifeIn(text: string): AgentLife | undefined {
  try {
    const life = JSON.parse(text) as Partial<AgentLife> | null;
    const known =
      (life?.role === 'capture' || life?.role === 'apply') &&
      (life.state === 'running' || life.state === 'retrying' || life.state === 'stopped') &&
      typeof life.site === 'string' &&
      typeof life.sinceMs === 'number' &&
      Number.isSafeInteger(life.pid) &&
      (life.code === undefined || Object.hasOwn(errorTable, life.code));
    return known ? (life as AgentLife) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the process of a life still exists. Undefined: it runs on another machine, where we cannot look. */
export function isAlive(life: AgentLife): boolean | undefined {
  if (life.host !== hostname()) return undefined;
  try {
    process.kill(life.pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
