import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { ChangeoverError } from '../error.ts';

/** Reads `+ pid` and `- pid`. At the end of its input, which comes also when we are killed, it ends the processes that are still
 *  listed and removes the folder. SIGQUIT first: PostgreSQL takes it as "immediate" and gives its shared memory back. */
const script = `
list=
while read -r sign pid; do
  case $sign in
    +) list="$list $pid" ;;
    -) rest=; for one in $list; do [ "$one" = "$pid" ] || rest="$rest $one"; done; list=$rest ;;
  esac
done
turn=0
if [ -n "$list" ]; then kill -QUIT $list; fi
while [ $turn -lt 50 ]; do
  left=; for one in $list; do kill -0 "$one" && left="$left $one"; done
  [ -z "$left" ] && break
  sleep 0.1; turn=$((turn + 1))
done
if [ -n "$left" ]; then kill -KILL $left; fi
turn=0
while [ -e "$1" ] && [ $turn -lt 50 ]; do
  rm -rf "$1" || sleep 0.1
  turn=$((turn + 1))
done
`;

/** A small process beside us that cleans up when we cannot: after a SIGKILL, a crash, a closed terminal. */
export interface Guard extends AsyncDisposable {
  add(pid: number): void;
  drop(pid: number): void;
}

/** Guards `folder`, which need not be there yet, and every process added. Dispose ends those processes and removes the folder. */
export async function openGuard(folder: string): Promise<Guard> {
  // Its own session: Ctrl-C in the terminal reaches us, not it.
  const child = spawn('/bin/sh', ['-c', script, 'guard', folder], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = once(child, 'exit');
  try {
    await once(child, 'spawn');
  } catch (cause) {
    ended.catch(() => undefined);
    throw new ChangeoverError('DEMO_FAILED', 'No /bin/sh to clean up behind us', { cause });
  }
  child.unref();
  // It may have been ended by somebody else; then nobody cleans up after a crash, and nothing else changes.
  child.stdin.on('error', () => undefined);
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  return {
    add: (pid) => void child.stdin.write(`+ ${pid}\n`),
    drop: (pid) => void child.stdin.write(`- ${pid}\n`),
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      if (isOver()) return;
      child.ref();
      await ended;
    },
  };
}
