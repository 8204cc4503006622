import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, connect } from '../engine/postgres/connect.ts';
import { sqlState } from '../engine/postgres/failure.ts';
import { ChangeoverError } from '../error.ts';
import { backoffMs } from '../flow/backoff.ts';
import type { Acknowledged } from './acknowledged.ts';
import type { Gate } from './gate.ts';
import { choose, type Draw, type Memory, type Plan } from './workload.ts';

export interface ClientsOptions {
  readonly url: string;
  readonly clients: number;
  /** Transactions per second of all clients together. */
  readonly rate: number;
  readonly acknowledged: Acknowledged;
  /** Closed while the sides are compared. */
  readonly gate: Gate;
  readonly draw: Draw;
  readonly now: () => number;
}

/** Reconnecting to a killed server: quick, it is back within seconds. */
const reconnect = { firstMs: 50, mostMs: 500 };
/** A client that fell behind its rate catches up by at most this. */
const behindMsMax = 1000;

/** Runs all clients of the shop until `signal` aborts. Throws DEMO_FAILED when the primary lost what it had acknowledged. */
export async function runClients(options: ClientsOptions, signal: AbortSignal): Promise<void> {
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const numbers = Array.from({ length: options.clients }, (_, index) => index + 1);
  const all = numbers.map((client) => runClient(client, options, both));
  try {
    await Promise.all(all);
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled(all);
    if (!signal.aborted) throw error;
  }
}

async function runClient(client: number, options: ClientsOptions, signal: AbortSignal): Promise<void> {
  let memory: Memory = { client, counter: 0, open: [], visit: undefined };
  const everyMs = (1000 * options.clients) / options.rate;
  let dueMs = options.now() + (everyMs * client) / options.clients;
  await using session = new Session(options.url);
  while (!signal.aborted) {
    await sleep(Math.max(0, dueMs - options.now()), undefined, { signal });
    dueMs = Math.max(dueMs + everyMs, options.now() - behindMsMax);
    using _passage = await options.gate.enter(signal);
    const plan = choose(memory, options.acknowledged.counts(), options.draw);
    if (!(await session.commits(plan, signal))) continue;
    memory = plan.after;
    options.acknowledged.add(client, memory.counter, { rows: plan.rows, atMs: options.now() });
  }
}

/** One client's connection, made again whenever it is lost. */
class Session implements AsyncDisposable {
  readonly #url: string;
  #connection: Connection | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  /** Whether the transaction is committed. An error leaves that open, and a transaction done twice would be as wrong as one
   *  forgotten: the counter, which was to be committed with it, tells. */
  async commits(plan: Plan, signal: AbortSignal): Promise<boolean> {
    try {
      await (await this.#connected(signal)).rows(plan.sql);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      const committed = await this.#settle(plan, signal);
      if (!committed && /^(0A|2|42)/.test(sqlState(error) ?? '')) throw error;
      return committed;
    }
  }

  async #settle(plan: Plan, signal: AbortSignal): Promise<boolean> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#isCommitted(plan, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof ChangeoverError && error.action !== 'retry') throw error;
        await this[Symbol.asyncDispose]();
        await sleep(backoffMs(attempt, Math.random(), reconnect), undefined, { signal });
      }
    }
  }

  async #isCommitted({ after }: Plan, signal: AbortSignal): Promise<boolean> {
    const connection = await this.#connected(signal);
    const [row] = await connection.rows('select counter from shop.clients where client = $1', [after.client]);
    const counter = Number(row?.[0]);
    if (counter === after.counter) return true;
    if (counter === after.counter - 1) return false;
    throw new ChangeoverError('DEMO_FAILED', `The primary lost transactions: ${counter} instead of ${after.counter}`);
  }

  async #connected(signal: AbortSignal): Promise<Connection> {
    const options = { url: this.#url, side: 'SOURCE', application: 'shop' } as const;
    this.#connection ??= await connect(options, signal);
    return this.#connection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.[Symbol.asyncDispose]();
  }
}
