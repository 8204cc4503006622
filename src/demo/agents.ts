import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { delimiter, dirname } from 'node:path';
import { ChangeoverError } from '../error.ts';
import type { Guard } from './guard.ts';
import type { Part } from './part.ts';

const wordsBytesMax = 2000;
export interface AgentOptions {
  readonly verb: 'capture' | 'apply';
  /** `bin/changeover`. Its first line says how Node is to be run; the Node that it finds is ours. */
  readonly program: string;
  readonly config: string;
  readonly folder: string;
  readonly guard: Guard;
}

/** One role of Changeover as a process of its own, so that it can be killed by itself. Dispose ends it. */
export function agent({ verb, program, config, folder, guard }: AgentOptions): Part & AsyncDisposable {
  let child: ChildProcess | undefined;
  let words = '';
  const isRunning = (): boolean => child !== undefined && child.exitCode === null && child.signalCode === null;
  const kill = async (): Promise<void> => {
    if (!child || !isRunning()) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  return {
    name: verb,
    pid: () => (isRunning() ? child?.pid : undefined),
    words: () => words.trim().slice(-wordsBytesMax),
    kill,
    async ended() {
      if (child && isRunning()) await once(child, 'exit');
    },
    async start() {
      // Its own session: Ctrl-C in the terminal reaches us alone.
      child = spawn(program, [verb, '-c', config], {
        cwd: folder,
        env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` },
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      for (const stream of [child.stdout, child.stderr])
        stream?.on('data', (chunk: Buffer) => (words = (words + chunk.toString()).slice(-2 * wordsBytesMax)));
      try {
        await once(child, 'spawn');
      } catch (cause) {
        throw new ChangeoverError('DEMO_FAILED', `The ${verb} agent could not be run`, { cause });
      }
      const { pid = 0 } = child;
      guard.add(pid);
      child.once('exit', () => guard.drop(pid));
    },
    [Symbol.asyncDispose]: kill,
  };
}
