import assert from 'node:assert/strict';
import { after } from 'node:test';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import { openServer } from '../servers/clusters.ts';
import { run } from '../servers/postgres.ts';
import { type Desk, openDesk, type Running } from './program.ts';
import { assertEqual, openSides, type Sides } from './sides.ts';

/** Two servers that the stories of a file share, one after the other. */
export interface World {
  readonly from: PostgresServer;
  readonly to: PostgresServer;
}

const world: World = { from: await openServer(), to: await openServer() };
after(async () => {
  await world.from[Symbol.asyncDispose]();
  await world.to[Symbol.asyncDispose]();
});

export const schema = [
  'CREATE TABLE public.account (id int PRIMARY KEY, balance bigint NOT NULL, note text)',
  'CREATE TABLE public.transfer (id int PRIMARY KEY, source int NOT NULL, target int NOT NULL, amount bigint NOT NULL)',
  'INSERT INTO public.account SELECT n, 1000 FROM generate_series(1, 50) n',
];

/** Databases with two tables and a lane of their own between them. */
export class Story implements AsyncDisposable {
  readonly world: World;
  readonly sides: Sides;
  readonly name: string;
  readonly desk: Desk;
  #transfers = 0;

  constructor(parts: {
    readonly world: World;
    readonly sides: Sides & { readonly name: string };
    readonly desk: Desk;
  }) {
    this.world = parts.world;
    this.sides = parts.sides;
    this.name = parts.sides.name;
    this.desk = parts.desk;
  }

  /** Starts, or resumes. */
  replicate(...words: readonly string[]): Promise<Running> {
    return this.desk.replicate(this.sides, '--name', this.name, ...words);
  }

  /** Starts what will not last; resolves at its end. */
  async refused(...words: readonly string[]): Promise<string> {
    const { exitCode, err, out } = await this.desk.run(
      'replicate',
      this.sides.primary,
      this.sides.secondary,
      '--name',
      this.name,
      ...words,
    );
    assert.ok(exitCode === 1 || exitCode === 3, `${exitCode} ${out} ${err}`);
    assert.match(err, /^[A-Z_]+ .+\nhint: .+/);
    return err;
  }

  /** Moves money so many times, a transaction each. */
  async write(count: number): Promise<void> {
    const moves = Array.from({ length: count }, () => {
      this.#transfers += 1;
      const [id, from, to] = [this.#transfers, 1 + (this.#transfers % 50), 1 + ((this.#transfers * 7) % 50)];
      return `BEGIN; UPDATE public.account SET balance = balance - 1 WHERE id = ${from};
        UPDATE public.account SET balance = balance + 1 WHERE id = ${to}; INSERT INTO public.transfer VALUES (${id}, ${from}, ${to}, 1); COMMIT`;
    });
    await run(this.sides.primary, moves.join(';'));
  }

  /** From now on the primary sends a transaction before its commit that takes more memory than this there. Before `replicate`. */
  async streamsFrom(memory: string): Promise<void> {
    await run(this.sides.primary, `ALTER DATABASE ${this.name} SET logical_decoding_work_mem = '${memory}'`);
  }

  /** How many blocks of transactions it sent before their commit. */
  async blocksSent(): Promise<number> {
    const [row] = await run(
      this.sides.primary,
      `SELECT stream_count FROM pg_stat_replication_slots WHERE slot_name ~ '${this.name}$'`,
    );
    return Number(row?.[0] ?? 0);
  }

  /** All that was committed has come, and nothing else. */
  async settles(): Promise<void> {
    await this.desk.caughtUp();
    await assertEqual(this.sides);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.desk[Symbol.asyncDispose]();
    const { from, to } = this.world;
    if (from.pid() === undefined) await from.start();
    if (to.pid() === undefined) await to.start();
    // A slot that is left would hold the log of the stories to come.
    await run(
      from.url(),
      `SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name ~ '${this.name}$' AND active`,
    );
    await run(
      this.sides.primary,
      `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name ~ '${this.name}$'`,
    );
  }
}

export async function openStory(): Promise<Story> {
  const sides = await openSides(world.from, world.to);
  await run(sides.primary, ...schema);
  return new Story({ world, sides, desk: await openDesk() });
}

/** How often a text matches. */
export const times = (text: string, pattern: RegExp): number => [...text.matchAll(new RegExp(pattern, 'g'))].length;
