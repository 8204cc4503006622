import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { chown, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { assert, ChangeoverError } from '../error.ts';
import type { Guard } from './guard.ts';
import {
  embeddedHome,
  type Owner,
  readableHome,
  runProgram,
  serverEnvironment,
  serverFolder,
  serverOwner,
} from './postgres-home.ts';
import { isGone, killTree } from './process-tree.ts';

const startMsMax = 60_000;
/** An orderly stop waits for walsenders, and a walsender waits for its client: past this the server is stopped at once. */
const fastStopMsMax = 20_000;

export interface PostgresServerOptions {
  /** A folder with `bin/postgres`. Default: the embedded binaries from npm. */
  readonly home?: string;
  /** Extra lines of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Default false: fsync off, for tests. The demo and the benchmarks turn it on. */
  readonly durable?: boolean;
  readonly initArguments?: readonly string[];
  /** A server of the same binaries that was stopped in order: it begins as a copy of that one, with its password and its identity.
   *  Default: initdb makes it, which takes several times as long. */
  readonly copyOf?: Pick<PostgresServer, 'folder' | 'password'>;
}

/** A real PostgreSQL server as a child process in a temporary folder, on a free loopback port. */
export interface PostgresServer extends AsyncDisposable {
  readonly port: number;
  readonly folder: string;
  readonly password: string;
  /** The address of a database as the superuser `postgres`. */
  url(database?: string): string;
  pid(): number | undefined;
  /** Starts it again after a stop or a crash, on the same port; resolves when it takes connections. */
  start(): Promise<void>;
  /** `fast` shuts down in order; `immediate` is a crash that the server notices; `kill` is SIGKILL to every one of its processes. */
  stop(how: 'fast' | 'immediate' | 'kill'): Promise<void>;
  /** Resolves when the server does not run (any more), whoever ended it. */
  ended(): Promise<void>;
}

/** Makes a cluster and starts it. Everything it made is gone after dispose, and also when this process is killed. */
export async function openPostgresServer(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const owner = await serverOwner();
  await using stack = new AsyncDisposableStack();
  const { folder, guard } = await serverFolder(owner);
  stack.use(guard);
  const home = await readableHome(options.home ?? embeddedHome(), folder, owner);
  const password = options.copyOf?.password ?? randomBytes(12).toString('hex');
  if (options.copyOf) await copyCluster(options.copyOf.folder, folder, guard);
  else await makeCluster({ home, folder, password, owner, guard, options });
  const port = await freePort();
  const data = join(folder, 'data');
  await writeFile(join(data, 'postgresql.auto.conf'), configuration(port, options));

  let child: ChildProcess | undefined;
  const isRunning = (): boolean => child !== undefined && child.exitCode === null && child.signalCode === null;
  const server: PostgresServer = {
    port,
    folder,
    password,
    url: (database = 'postgres') => `postgres://postgres:${password}@127.0.0.1:${port}/${database}`,
    pid: () => (isRunning() ? child?.pid : undefined),
    async ended() {
      if (child && isRunning()) await once(child, 'exit');
    },
    async start() {
      assert(!isRunning(), 'The server runs already');
      const startedMs = performance.now();
      for (;;) {
        child = await spawnServer({ home, folder, owner });
        const { pid = 0 } = child;
        guard.add(pid);
        child.once('exit', () => guard.drop(pid));
        if (await becomesReady(child, data)) return;
        const log = await readFile(join(folder, 'server.log'), 'utf8').catch(() => '');
        // Backends of a killed server notice its death within moments, and hold its memory until then.
        const lingering = log.includes('pre-existing shared memory block');
        if (!lingering || performance.now() - startedMs > startMsMax)
          throw new ChangeoverError('DEMO_FAILED', `PostgreSQL did not start: ${log.slice(-2000)}`);
        await sleep(100);
      }
    },
    async stop(how) {
      if (!child?.pid || !isRunning()) return;
      const ended = once(child, 'exit');
      if (how === 'kill') await killTree(child.pid);
      else child.kill(how === 'fast' ? 'SIGINT' : 'SIGQUIT');
      if (how === 'fast') {
        const late = setTimeout(() => child?.kill('SIGQUIT'), fastStopMsMax);
        await ended.finally(() => clearTimeout(late));
      }
      await ended;
    },
    async [Symbol.asyncDispose]() {
      await server.stop('immediate');
      await releaseMemory(data);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
      await guard[Symbol.asyncDispose]();
    },
  };
  stack.use(server);
  await server.start();
  stack.move();
  return server;
}

interface Cluster {
  readonly home: string;
  readonly folder: string;
  readonly password: string;
  readonly owner: Owner | undefined;
  readonly guard: Guard;
  readonly options: PostgresServerOptions;
}

async function makeCluster({ home, folder, password, owner, guard, options }: Cluster): Promise<void> {
  const data = join(folder, 'data');
  const passwordFile = join(folder, 'password');
  await mkdir(data, { mode: 0o700 });
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (owner) for (const path of [data, passwordFile]) await chown(path, owner.uid, owner.gid);
  const encoding = options.initArguments ?? ['--encoding=UTF8', '--locale=C'];
  const base = ['-D', data, '-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`, ...encoding];
  const values = options.durable ? base : [...base, '--no-sync'];
  const made = await runProgram(join(home, 'bin', 'initdb'), values, { owner, guard });
  await rm(passwordFile);
  if (made.code !== 0) throw new ChangeoverError('DEMO_FAILED', `initdb failed: ${made.output.slice(-2000)}`);
}

/** As ourselves: only we may read the folder of another server, and give its files to their owner. */
async function copyCluster(from: string, to: string, guard: Guard): Promise<void> {
  const copied = await runProgram('cp', ['-a', join(from, 'data'), to], { guard });
  if (copied.code !== 0) throw new ChangeoverError('DEMO_FAILED', `A cluster could not be copied: ${copied.output}`);
}

function configuration(port: number, options: PostgresServerOptions): string {
  const settings: Record<string, string> = {
    port: String(port),
    listen_addresses: "'127.0.0.1'",
    unix_socket_directories: "''",
    // In the data folder, not in /dev/shm: a container gives that 64 MB, and a SIGKILL would leave files there.
    dynamic_shared_memory_type: 'mmap',
    wal_level: 'logical',
    max_wal_senders: '20',
    max_replication_slots: '20',
    ...(options.durable ? {} : { fsync: 'off' }),
    ...options.settings,
  };
  return Object.entries(settings)
    .map(([name, value]) => `${name} = ${value}\n`)
    .join('');
}

/** In its own session, so that Ctrl-C in the terminal does not stop it before us. Its messages go to a file: a pipe would break
 *  under it when we crash, and fill when we are busy. */
async function spawnServer(of: Pick<Cluster, 'home' | 'folder' | 'owner'>): Promise<ChildProcess> {
  await using log = await open(join(of.folder, 'server.log'), 'w');
  const child = spawn(join(of.home, 'bin', 'postgres'), ['-D', join(of.folder, 'data')], {
    ...of.owner,
    cwd: '/',
    env: serverEnvironment,
    detached: true,
    stdio: ['ignore', 'ignore', log.fd],
  });
  try {
    await once(child, 'spawn');
  } catch (cause) {
    throw new ChangeoverError('DEMO_FAILED', 'PostgreSQL could not be run', { cause });
  }
  return child;
}

/** False when it ended instead. Throws when it does neither in time. */
async function becomesReady(child: ChildProcess, data: string): Promise<boolean> {
  const untilMs = performance.now() + startMsMax;
  while (child.exitCode === null && child.signalCode === null) {
    if (await isReady(data, child.pid)) return true;
    if (performance.now() > untilMs) {
      child.kill('SIGQUIT');
      throw new ChangeoverError('DEMO_FAILED', `PostgreSQL was not ready after ${startMsMax} ms`);
    }
    await sleep(10);
  }
  return false;
}

/** postmaster.pid: the pid first, on the last line `ready`, or `standby` at a standby, once connections are taken. After a SIGKILL the old file is still there.
 *  https://www.postgresql.org/docs/current/storage-file-layout.html */
async function isReady(data: string, pid: number | undefined): Promise<boolean> {
  const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  return lines[0] === String(pid) && ['ready', 'standby'].includes(lines[7]?.trim() ?? '');
}

/** A killed server leaves its System V segment (56 bytes, the lock on its data folder), which its next start would free. Its
 *  number stands on the seventh line of the postmaster.pid that it left. */
async function releaseMemory(data: string): Promise<void> {
  const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  const id = lines[6]?.trim().split(/\s+/)[1];
  if (id !== undefined && lines[0] !== undefined && (await isGone(Number(lines[0]))))
    await runProgram('ipcrm', ['-m', id]);
}

/** A port that was free a moment ago, below every system's range for outgoing connections: else an outgoing connection may take it
 *  while its server is down, and a client that reconnects to nobody can even meet itself there. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = randomInt(15_000, 32_000);
    const probe = createServer();
    const free = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    probe.close();
    await once(probe, 'close');
    return port;
  }
  throw new ChangeoverError('DEMO_FAILED', 'No free port');
}
