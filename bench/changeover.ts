import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import memory from '../bin/memory.json' with { type: 'json' };
import type { Connection } from '../src/engine/postgres/connect.ts';
import { ChangeoverError } from '../src/error.ts';

/** One way from the primary into one database of the secondary, with a log of its own. */
export interface Lane {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly folder: string;
  readonly tables: readonly string[];
  /** Of the first copy. Undefined: as it comes. */
  readonly copyConnections?: number | undefined;
}

export type Ask =
  | { readonly kind: 'capture' | 'apply'; readonly lane: Lane }
  | { readonly kind: 'captured'; readonly lane: Lane; readonly order: bigint }
  | { readonly kind: 'stop' }
  | { readonly kind: 'usage' }
  | { readonly kind: 'profile' }
  | { readonly kind: 'profiled'; readonly path: string };

export interface Usage {
  /** Of the process since its start, user and system. */
  readonly cpuMs: number;
  /** The most since it was asked before. */
  readonly rssBytesMax: number;
  /** How often a folded set had to be written change by change. */
  readonly unfolded: number;
}

/** The process that runs Changeover's loops, as the bench sees it. */
export class Agent implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>();
  #asks = 0;
  #gone: ChangeoverError | undefined;

  constructor() {
    // As bin/changeover is run.
    this.#child = fork(new URL('agent.ts', import.meta.url), {
      serialization: 'advanced',
      execArgv: memory.flags,
      env: { ...process.env, ...memory.environment },
    });
    this.#child.on('message', ({ id, result }: { readonly id: number; readonly result: unknown }) => {
      this.#asked.get(id)?.resolve(result);
      this.#asked.delete(id);
    });
    this.#child.once('exit', (code, signal) => {
      this.#gone = new ChangeoverError('ASSERTION', `The agent ended (${signal ?? code}); its error stands above`);
      for (const { reject } of this.#asked.values()) reject(this.#gone);
    });
  }

  /** Throws when the process is gone: a loop failed. */
  check(): void {
    if (this.#gone) throw this.#gone;
  }

  async start(role: 'capture' | 'apply', lane: Lane): Promise<void> {
    await this.#ask({ kind: role, lane });
  }

  /** Resolves once the lane's log holds everything up to `order`. */
  async captured(lane: Lane, order: bigint): Promise<void> {
    await this.#ask({ kind: 'captured', lane, order });
  }

  /** Stops every loop and waits for its end. */
  async stop(): Promise<void> {
    await this.#ask({ kind: 'stop' });
  }

  async usage(): Promise<Usage> {
    return (await this.#ask({ kind: 'usage' })) as Usage;
  }

  /** Samples where the process spends its time while `during` runs, into a file for `bench/profile.ts`. */
  async profiled<T>(path: string | undefined, during: () => Promise<T>): Promise<T> {
    if (path === undefined) return during();
    await this.#ask({ kind: 'profile' });
    const result = await during();
    await this.#ask({ kind: 'profiled', path });
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#gone) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }

  async #ask(ask: Ask): Promise<unknown> {
    this.check();
    this.#asks += 1;
    const id = this.#asks;
    const waiting = Promise.withResolvers<unknown>();
    this.#asked.set(id, waiting);
    this.#child.send({ id, ask });
    return waiting.promise;
  }
}

const pollMs = 2;

/** Returns once a lane's first copy is whole: its checkpoint has a position then. `there`: a session of the lane's database. */
export async function untilCopied(agent: Agent, there: Connection): Promise<void> {
  for (;;) {
    const [made] = await there.rows(`SELECT pg_catalog.to_regclass('changeover.checkpoint')`);
    const rows = made?.[0] ? await there.rows('SELECT position_order IS NOT NULL FROM changeover.checkpoint') : [];
    if (rows[0]?.[0] === 't') return;
    agent.check();
    await sleep(pollMs);
  }
}
