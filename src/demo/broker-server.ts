import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChangeoverError } from '../error.ts';
import { openGuard } from './guard.ts';
import { freePort } from './postgres-server.ts';
import { isGone } from './process-tree.ts';

/** A real broker as a child process in a temporary folder, on a free loopback port. Everything it made is gone after dispose, and
 *  also when this process is killed. */
export interface BrokerServer extends AsyncDisposable {
  readonly port: number;
  readonly folder: string;
  pid(): number | undefined;
  /** Starts it again on the same port, unless it runs; resolves when it takes connections. */
  start(): Promise<void>;
  /** SIGKILL to every one of its processes. */
  kill(): Promise<void>;
  /** Resolves when the server does not run (any more), whoever ended it. */
  ended(): Promise<void>;
  /** A second server over what lies in the folder of this one at this moment: what a crash would leave. */
  copy(): Promise<BrokerServer>;
}

export interface Kind {
  /** What is needed, for who has not got it. Undefined: all is there. */
  readonly missing: () => string | undefined;
  /** Before the first start in an empty folder. */
  readonly prepare?: (place: Place) => Promise<void>;
  readonly command: (place: Place) => Command;
  /** Throws, or gives false, until the server does its work. Default: it takes connections. */
  readonly isReady?: (place: Place) => Promise<boolean>;
  /** More ports than one: the further ones, for `place.others`. */
  readonly otherPorts?: number;
  readonly startMsMax: number;
}

export interface Place {
  readonly folder: string;
  readonly port: number;
  readonly others: readonly number[];
}

export interface Command {
  readonly program: string;
  readonly arguments: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

export async function openBrokerServer(kind: Kind, from?: string): Promise<BrokerServer> {
  const folder = join(tmpdir(), `changeover-broker-${randomBytes(6).toString('hex')}`);
  const guard = await openGuard(folder);
  await using opened = new AsyncDisposableStack();
  opened.use(guard);
  const port = await freePort();
  const others: number[] = [];
  while (others.length < (kind.otherPorts ?? 0)) others.push(await freePort());
  const place = { folder, port, others };
  if (from === undefined) await mkdir(folder, { mode: 0o700 });
  else await cp(from, folder, { recursive: true });
  await kind.prepare?.(place);

  let child: ChildProcess | undefined;
  const isRunning = (): boolean => child !== undefined && child.exitCode === null && child.signalCode === null;
  const server: BrokerServer = {
    port,
    folder,
    pid: () => (isRunning() ? child?.pid : undefined),
    async start() {
      if (isRunning()) return;
      child = await launched(kind.command(place), folder);
      const { pid = 0 } = child;
      // A group of its own: the server may be a script around another process.
      guard.add(-pid);
      child.once('exit', () => guard.drop(-pid));
      const untilMs = performance.now() + kind.startMsMax;
      while (!(await (kind.isReady ?? takesConnections)(place).catch(() => false))) {
        const log = await readFile(join(folder, 'server.log'), 'utf8').catch(() => '');
        if (!isRunning() || performance.now() > untilMs)
          throw new ChangeoverError('DEMO_FAILED', `The broker did not start:\n${log.slice(-3000)}`);
        await sleep(25);
      }
    },
    async kill() {
      if (!child?.pid || !isRunning()) return;
      const ended = once(child, 'exit');
      process.kill(-child.pid, 'SIGKILL');
      await ended;
      while (!(await isGone(child.pid))) await sleep(5);
      // Behind a script, the server itself may take a moment longer.
      while (await takesConnections(place).catch(() => false)) await sleep(5);
    },
    async ended() {
      if (child && isRunning()) await once(child, 'exit');
    },
    copy: () => openBrokerServer(kind, folder),
    async [Symbol.asyncDispose]() {
      await server.kill();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
      await guard[Symbol.asyncDispose]();
    },
  };
  opened.use(server);
  await server.start();
  opened.move();
  return server;
}

async function launched({ program, arguments: args, environment }: Command, folder: string): Promise<ChildProcess> {
  const log = openSync(join(folder, 'server.log'), 'a');
  try {
    const env = { ...process.env, ...environment };
    const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log], cwd: folder, env });
    await once(child, 'spawn');
    return child;
  } catch (cause) {
    throw new ChangeoverError('DEMO_FAILED', `The broker could not be run: ${program}`, { cause });
  } finally {
    closeSync(log);
  }
}

export async function takesConnections({ port }: Pick<Place, 'port'>): Promise<boolean> {
  const socket = createConnection({ port, host: '127.0.0.1' });
  try {
    await once(socket, 'connect');
    return true;
  } finally {
    socket.destroy();
  }
}

export const isOnPath = (program: string): boolean =>
  (process.env.PATH ?? '').split(':').some((folder) => exists(join(folder, program)));

function exists(path: string): boolean {
  try {
    closeSync(openSync(path, 'r'));
    return true;
  } catch {
    return false;
  }
}
