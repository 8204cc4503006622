import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChangeoverError } from '../error.ts';
import { runProgram } from './postgres-home.ts';

const goneMsMax = 10_000;

/** SIGKILLs a process and its children at once, as a power cut does, and waits until none is left. The parent is stopped first, so
 *  that it can make no new child meanwhile. */
export async function killTree(pid: number): Promise<void> {
  signalOf(pid, 'SIGSTOP');
  const all = [pid, ...(await childrenOf(pid))];
  for (const one of all) signalOf(one, 'SIGKILL');
  const untilMs = performance.now() + goneMsMax;
  for (const one of all) {
    while (!(await isGone(one))) {
      if (performance.now() > untilMs) throw new ChangeoverError('DEMO_FAILED', `Process ${one} survives SIGKILL`);
      await sleep(5);
    }
  }
}

/** Ended; possibly still listed because nobody has asked for its exit code, as in a container without an init. */
export async function isGone(pid: number): Promise<boolean> {
  if (!signalOf(pid, 0)) return true;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return /^\d+ \(.*\) [ZX] /s.test(stat);
}

/** False when there is no such process. */
function signalOf(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}

async function childrenOf(pid: number): Promise<readonly number[]> {
  const listed = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => undefined);
  if (listed !== undefined) return listed.trim().split(' ').filter(Boolean).map(Number);
  // macOS, or a kernel without that file.
  const { output } = await runProgram('ps', ['-A', '-o', 'pid=,ppid=']);
  const pairs = output.split('\n').map((line) => line.trim().split(/\s+/).map(Number));
  return pairs.flatMap(([child, parent]) => (parent === pid && child !== undefined ? [child] : []));
}
