import assert from 'node:assert/strict';
import type { Batch } from '../../src/change/change.ts';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import type { Excerpts } from '../../src/source/postgres/excerpt.ts';
import type { Difference } from '../../src/verify/difference.ts';
import { type TableVerdict, verify } from '../../src/verify/verify.ts';
import { type Lane, openLane } from '../fixtures/lane.ts';
import { never, open, run } from '../servers/postgres.ts';

/* Two databases of one server, a lane between them, and clients that never rest. */

export interface World extends AsyncDisposable {
  readonly sides: { readonly primary: string; readonly secondary: string; readonly name: string };
  readonly lane: Lane;
  primary(...texts: readonly string[]): Promise<void>;
  secondary(...texts: readonly string[]): Promise<void>;
  /** Compares the tables whose names match, or all. */
  verdicts(tables?: RegExp): Promise<ReadonlyMap<string, TableVerdict>>;
}

let worlds = 0;

export async function openWorld(
  server: PostgresServer,
  {
    before,
    ...more
  }: { readonly before: readonly string[]; readonly excerpts?: Excerpts; readonly onAppend?: (batch: Batch) => void },
): Promise<World> {
  worlds += 1;
  const name = `world_${worlds}`;
  await run(server.url(), `CREATE DATABASE ${name}_a`, `CREATE DATABASE ${name}_b`);
  const sides = { primary: server.url(`${name}_a`), secondary: server.url(`${name}_b`), name };
  await run(sides.primary, ...before);
  const lane = openLane({ sides, ...more });
  await lane.caughtUp();
  return {
    sides,
    lane,
    primary: async (...texts) => void (await run(sides.primary, ...texts)),
    secondary: async (...texts) => void (await run(sides.secondary, ...texts)),
    async verdicts(tables = /(?:)/) {
      const found = new Map<string, TableVerdict>();
      const wanted = (table: { name: string }): boolean => tables.test(table.name);
      for await (const verdict of verify(lane.between, { wanted, timeoutMs: 60_000 }, never))
        found.set(verdict.carried.table.name, verdict);
      return found;
    },
    [Symbol.asyncDispose]: () => lane[Symbol.asyncDispose](),
  };
}

/** Clients that change hot and cold rows of `t (id, n, v, big)`, but none of 2001 to 2100, and of `bag (a, b)`, whole transactions at a time, until disposed. */
export async function restless(url: string, clients: number): Promise<AsyncDisposable & { readonly count: number }> {
  const over = new AbortController();
  let count = 0;
  const work = async (client: number): Promise<void> => {
    await using connection = await open(url);
    // Not the same for each, and the same in every run.
    let seed = 7919 * (client + 1);
    const chance = (most: number): number => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % most;
    };
    while (!over.signal.aborted) {
      const [hot, cold] = [1 + chance(20), 1 + chance(2000)];
      const id = 10_000 + chance(400);
      await connection.rows('BEGIN');
      await connection.rows(`UPDATE public.t SET n = n + 1 WHERE id = ${Math.min(hot, cold)}`);
      await connection.rows(`UPDATE public.t SET n = n + 1 WHERE id = ${Math.max(hot, cold)}`);
      await connection.rows(
        chance(2) === 0
          ? `DELETE FROM public.t WHERE id = ${id}`
          : `INSERT INTO public.t VALUES (${id}, 0, 'new', NULL) ON CONFLICT (id) DO UPDATE SET v = excluded.v || t.n`,
      );
      await connection.rows(`INSERT INTO public.bag VALUES (${chance(5)}, 'x')`);
      if (chance(3) === 0)
        await connection.rows(
          `DELETE FROM public.bag WHERE ctid = (SELECT ctid FROM public.bag ORDER BY ctid LIMIT 1 FOR UPDATE SKIP LOCKED)`,
        );
      await connection.rows(chance(10) === 0 ? 'ROLLBACK' : 'COMMIT');
      count += 1;
    }
  };
  const working = Array.from({ length: clients }, (_, client) => work(client));
  return {
    get count() {
      return count;
    },
    async [Symbol.asyncDispose]() {
      over.abort();
      await Promise.all(working);
    },
  };
}

export const tables = [
  'CREATE TABLE public.t (id int PRIMARY KEY, n int, v text, big text)',
  `INSERT INTO public.t SELECT k, 0, 'v' || k, CASE WHEN k % 50 = 0 THEN repeat(md5(k::text), 400) END FROM generate_series(1, 2100) k`,
  'CREATE TABLE public.bag (a int, b text)',
  `INSERT INTO public.bag SELECT k % 7, 'b' FROM generate_series(1, 300) k`,
];

/** The differences of a table, without what the order of a listing tells. */
export function found(verdicts: ReadonlyMap<string, TableVerdict>, table: string): readonly Difference[] {
  const verdict = verdicts.get(table);
  assert.ok(verdict, `${table} was not looked at`);
  assert.ok(verdict.verdict !== 'not checked', verdict.verdict === 'not checked' ? verdict.why : '');
  return verdict.found.differences.toSorted((a, b) => Number(a.key[0]) - Number(b.key[0]));
}
