import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPostgresServer, type PostgresServer } from '../../src/demo/postgres-server.ts';
import { isGone } from '../../src/demo/process-tree.ts';
import { connect } from '../../src/engine/postgres/connect.ts';

const { signal } = new AbortController();

async function ask(server: PostgresServer, sql: string): Promise<string | null | undefined> {
  const options = { url: server.url(), side: 'SOURCE', application: 'test' } as const;
  await using connection = await connect(options, signal);
  return (await connection.rows(sql))[0]?.[0];
}

/** The number of the server's System V segment. */
const memoryIdOf = (server: PostgresServer): string | undefined =>
  readFileSync(join(server.folder, 'data', 'postmaster.pid'), 'utf8')
    .split('\n')[6]
    ?.trim()
    .split(/\s+/)[1];

const memoryIds = (): string[] =>
  readFileSync('/proc/sysvipc/shm', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[1] ?? '');

test('a killed server comes back with what was committed, and leaves nothing behind', async () => {
  const server = await openPostgresServer({ durable: true });
  try {
    await ask(server, 'create table public.t as select 42 as answer');
    const killed = server.pid();
    const ended = server.ended();
    await server.stop('kill');
    await ended;
    assert.equal(server.pid(), undefined);
    await server.start();
    assert.notEqual(server.pid(), killed);
    assert.equal(await ask(server, 'select answer from public.t'), '42');
  } finally {
    await server[Symbol.asyncDispose]();
  }
  assert.equal(existsSync(server.folder), false);
});

test('the memory of a server that was killed and never started again is given back', async (t) => {
  if (process.platform !== 'linux') return t.skip('reads /proc/sysvipc');
  const server = await openPostgresServer();
  const id = memoryIdOf(server);
  assert.ok(id && memoryIds().includes(id));
  await server.stop('kill');
  await server[Symbol.asyncDispose]();
  assert.equal(memoryIds().includes(id), false);
});

test('a server can be disposed twice, and stopped when it does not run', async () => {
  const server = await openPostgresServer();
  await server.stop('fast');
  await server.stop('kill');
  await server.ended();
  await server[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

test('servers and folders go when the process that opened them is killed', async () => {
  const program = `
    const { openPostgresServer } = await import('${new URL('../../src/demo/postgres-server.ts', import.meta.url).href}');
    const server = await openPostgresServer();
    console.log(JSON.stringify({ pid: server.pid(), folder: server.folder }));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const { pid, folder } = JSON.parse(line) as { pid: number; folder: string };
  assert.equal(await isGone(pid), false);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const untilMs = performance.now() + 15_000;
  while (existsSync(folder) || !(await isGone(pid))) {
    assert.ok(performance.now() < untilMs, `left behind: ${existsSync(folder) ? readdirSync(folder).join() : pid}`);
    await sleep(20);
  }
});

test('a home that the server may not enter is linked to where it may, with the library links that npm leaves out', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root runs servers as somebody else');
  const { cp, mkdtemp, rm } = await import('node:fs/promises');
  const { embeddedHome } = await import('../../src/demo/postgres-home.ts');
  const closed = await mkdtemp('/tmp/changeover-closed-');
  t.after(() => rm(closed, { recursive: true }));
  const home = join(closed, 'native');
  await cp(embeddedHome(), home, { recursive: true, filter: (from) => !lstatSync(from).isSymbolicLink() });
  await using server = await openPostgresServer({ home });
  assert.match((await ask(server, 'select version()')) ?? '', /^PostgreSQL 18/);
  assert.ok(existsSync(join(server.folder, 'server', 'bin', 'postgres')));
});
