import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import { temporaryFolder } from '../broker/folder.ts';
import { openProxy } from '../end-to-end/proxy.ts';
import { openServer } from '../servers/clusters.ts';
import { run } from '../servers/postgres.ts';
import type { AgentOptions } from './agent.ts';

const victims = ['capture', 'apply', 'primary', 'secondary'] as const;
export type Victim = (typeof victims)[number];

/** Gives one after the other, each as often as the others, in an order of chance. */
export function dealer(chance: () => number): () => Victim {
  let left: Victim[] = [];
  return () => {
    if (left.length === 0) left = [...victims];
    const [one = 'capture'] = left.splice(Math.floor(chance() * left.length), 1);
    return one;
  };
}

/** A process that dies only when we kill it. */
class Agent {
  readonly #options: AgentOptions;
  readonly #failed: (error: Error) => void;
  #child: ChildProcess | undefined;
  /** Its last words. */
  said: readonly string[] = [];

  constructor(options: AgentOptions, failed: (error: Error) => void) {
    this.#options = options;
    this.#failed = failed;
  }

  start(): void {
    const file = new URL('agent.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [file, JSON.stringify(this.#options)], { stdio: 'pipe' });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (this.said = [...this.said.slice(-30), chunk.toString()]));
    // On `close`, when all that it said has come.
    child.on('close', (code, killer) => {
      if (killer !== 'SIGKILL' && code !== 0)
        this.#failed(new Error(`${this.#options.role} gave up: ${this.said.join('')}`));
    });
    this.#child = child;
  }

  async end(how: 'killed' | 'in order'): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    if (how === 'killed') child.kill('SIGKILL');
    else child.stdin?.end();
    await ended;
  }
}

/** WAL goes as soon as nobody needs it: a source that really forgets. */
const forgetful = { min_wal_size: '32MB', max_wal_size: '32MB', wal_keep_size: '0' };

/** How long a commit is waited for. */
const commitMsMax = 500;

/** Two servers, a log between them, and the two agents that carry from one to the other. */
export interface World extends AsyncDisposable {
  readonly folder: string;
  readonly primary: PostgresServer;
  readonly secondary: PostgresServer;
  /** Aborts with the reason when an agent gives up, or when somebody else reports that something failed. */
  readonly failed: AbortSignal;
  fail(error: unknown): void;
  /** Grows with each life of the secondary. */
  readonly lives: number;
  /** The victim is gone at once, and started again. Apply dies when its next commit is done and it does not know yet: the moment in which
   *  all of a lot must be there and nothing more. */
  kill(victim: Victim): Promise<void>;
  /** Makes the primary forget what it may. */
  forget(): Promise<void>;
  stopAgents(): Promise<void>;
  said(): string;
}

/** `statements` make what is in the primary before the agents start. */
export async function openWorld(statements: readonly string[]): Promise<World> {
  const stack = new AsyncDisposableStack();
  try {
    const { path: folder } = stack.use(await temporaryFolder());
    const primary = stack.use(await openServer({ settings: forgetful }));
    const secondary = stack.use(await openServer());
    await run(primary.url(), ...statements);
    const failing = new AbortController();
    const network = stack.use(await openProxy(secondary.port));
    const options = { folder, primary: primary.url(), secondary: network.url(secondary.url()) };
    const agentOf = (role: AgentOptions['role']): Agent => {
      const agent = new Agent({ role, ...options }, (error) => failing.abort(error));
      stack.defer(() => agent.end('killed'));
      agent.start();
      return agent;
    };
    const agents = { capture: agentOf('capture'), apply: agentOf('apply') };
    let lives = 0;
    return {
      folder,
      primary,
      secondary,
      failed: failing.signal,
      fail: (error) => failing.abort(error),
      get lives() {
        return lives;
      },
      async kill(victim) {
        // Where nothing is left to commit, it dies idle.
        if (victim === 'apply') await network.holdCommit(AbortSignal.timeout(commitMsMax));
        if (victim === 'capture' || victim === 'apply') {
          await agents[victim].end('killed');
          agents[victim].start();
          return;
        }
        const server = victim === 'primary' ? primary : secondary;
        if (victim === 'secondary') lives += 1;
        await server.stop('kill');
        await server.start();
        if (victim === 'secondary') lives += 1;
      },
      async forget() {
        await run(primary.url(), 'SELECT pg_switch_wal()', 'CHECKPOINT');
      },
      async stopAgents() {
        await agents.capture.end('in order');
        await agents.apply.end('in order');
      },
      said: () =>
        Object.values(agents)
          .flatMap((agent) => agent.said)
          .join(''),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Waits until a query of one row says `t`, through every error: whoever is asked may be coming up. */
export async function becomes(server: PostgresServer, sql: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const rows = await run(server.url(), sql).catch(() => []);
    if (rows[0]?.[0] === 't') return;
    signal.throwIfAborted();
    await sleep(20);
  }
}

/** Every table of the user: its name, how many rows it has, and what they are. */
export async function digest(server: PostgresServer): Promise<unknown> {
  const tables = await run(server.url(), `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`);
  const rows = `string_agg(md5(t::text), '' ORDER BY t::text COLLATE "C")`;
  const all = tables.map(([table]) => `SELECT '${table}', count(*), md5(${rows}) FROM public.${table} t`);
  return run(server.url(), `${all.join(' UNION ALL ')} ORDER BY 1`);
}

export async function oldestWal(server: PostgresServer): Promise<string> {
  const rows = await run(server.url(), `SELECT min(name) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'`);
  return rows[0]?.[0] ?? '';
}

/** What everybody is at, for whoever must find out why nothing comes. */
export async function standing({ primary, secondary }: World): Promise<string> {
  const sessions = `SELECT backend_type, state, wait_event, state_change::time, left(query, 90) FROM pg_stat_activity
    WHERE application_name LIKE 'changeover%'`;
  const asked: [PostgresServer, string][] = [
    [primary, 'SELECT pg_current_wal_lsn(), confirmed_flush_lsn, restart_lsn, active FROM pg_replication_slots'],
    [primary, 'SELECT sent_lsn, flush_lsn, state FROM pg_stat_replication'],
    [primary, 'SELECT number, now()::time FROM public.head'],
    [primary, sessions],
    [secondary, 'SELECT log_offset, position_token, updated_at::time, now()::time FROM changeover.checkpoint'],
    [secondary, sessions],
  ];
  const said: string[] = [];
  for (const [server, sql] of asked)
    for (const row of await run(server.url(), sql).catch((error: unknown) => [[String(error)]]))
      said.push(row.join(' | '));
  return said.join('\n');
}
