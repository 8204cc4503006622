import { readFile } from 'node:fs/promises';
import type { Connection } from '../src/engine/postgres/connect.ts';

/** Linux counts processor time in hundredths of a second for everyone who reads it here.
 *  https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
const tickMs = 10;

/** Processor time of a process since its start, user and system; 0 where the system does not tell. */
export async function cpuMsOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  // The second field is the program's name in parentheses, and may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * tickMs;
}

/** Processor time of the server processes that `sql` lists by pid, by pid. */
export async function cpuMsOfServer(connection: Connection, sql: string): Promise<ReadonlyMap<number, number>> {
  const used = new Map<number, number>();
  for (const [pid] of await connection.rows(sql)) used.set(Number(pid), await cpuMsOf(Number(pid)));
  return used;
}

export const total = (used: ReadonlyMap<number, number>): number => [...used.values()].reduce((sum, ms) => sum + ms, 0);
