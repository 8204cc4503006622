import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import type { Change } from '../../src/change/change.ts';
import { cells } from '../../src/change/row.ts';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import type { Connection } from '../../src/engine/postgres/connect.ts';
import { parseCopyText } from '../../src/target/memory/copy-text.ts';
import { openSides, type Sides } from '../end-to-end/sides.ts';
import { openLane } from '../fixtures/lane.ts';
import { openServer } from '../servers/clusters.ts';
import { generations, open, run, serverOf } from '../servers/postgres.ts';
import { type Kind, kindsOf, madeTypes } from './values.ts';

/* Invariant 14, type by type: what the primary holds, the secondary holds, whichever way it came. */

/** Ids of rows that the stream brings lie so far behind those of the same values that the copy brings. */
const streamed = 1000;
const isArray = ({ type, single = false }: Kind): boolean => single || type.endsWith(']') || type.endsWith('vector');

const tables = (kind: Kind, number: number): string[] => [
  // With a key; and without one, where a row is recognised by all that it holds.
  `CREATE TABLE public.k${number} (id int PRIMARY KEY, v ${kind.type}, w ${kind.type}, a ${isArray(kind) ? 'int' : `${kind.type}[]`})`,
  `CREATE TABLE public.f${number} (id int, v ${kind.type})`,
];

async function insert(primary: string, kinds: readonly Kind[], from: number): Promise<void> {
  await using connection = await open(primary);
  await connection.rows('BEGIN');
  for (const [number, kind] of kinds.entries()) {
    for (const [index, value] of [null, ...kind.values].entries()) {
      const id = from + index;
      const doing = `${kind.type}: ${JSON.stringify(value)?.slice(0, 60)}`;
      await connection.rows(`INSERT INTO public.k${number} VALUES ($1, $2)`, [id, value]).catch((cause: unknown) => {
        throw new assert.AssertionError({ message: `${doing}: ${String(cause)}` });
      });
      await connection.rows(`INSERT INTO public.f${number} VALUES ($1, $2), ($1, $2)`, [id, value]);
    }
    if (!isArray(kind)) await connection.rows(`UPDATE public.k${number} SET a = ARRAY[v, NULL, v] WHERE id >= ${from}`);
  }
  await connection.rows('COMMIT');
}

/** Updates, deletes, and rows that move to another key; of rows of either way. */
const rewrites = (number: number): string[] => [
  `UPDATE public.k${number} SET w = v, v = NULL WHERE id % 3 = 0`,
  `UPDATE public.k${number} SET id = id + 10000 WHERE id % 5 = 1`,
  `DELETE FROM public.k${number} WHERE id % 7 = 2`,
  `DELETE FROM public.f${number} WHERE ctid IN (SELECT min(ctid) FROM public.f${number} GROUP BY id)`,
  `UPDATE public.f${number} SET id = -id, v = NULL WHERE id % 2 = 0`,
];

/** The texts of rows as they went through the log, by table and id. */
function rendered(changes: readonly Change[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  const put = (table: string, row: readonly (Buffer | null | 'unchanged')[]): void => {
    const [id, ...values] = row.map((cell) => (Buffer.isBuffer(cell) ? cell.toString('latin1') : String(cell)));
    if (table.startsWith('k')) found.set(`${table} ${id}`, values);
  };
  for (const change of changes) {
    if (change.kind === 'rows') for (const row of parseCopyText(change.block)) put(change.table.name, row);
    // The last update of a row before the rewrites holds it whole.
    else if (change.kind === 'update' && change.table.name.startsWith('k'))
      put(change.table.name, [...cells(change.after)]);
  }
  return found;
}

/** As the types print themselves: a cast to text is something else for some (it shows how XML was declared, and drops blanks). */
async function contentOf(connection: Connection, number: number): Promise<readonly unknown[]> {
  return [
    await connection.rows(`SELECT id, v, w, a FROM public.k${number} ORDER BY id`),
    await connection.rows(`SELECT id, v FROM public.f${number} ORDER BY id, v::text`),
  ];
}

async function assertSame(sides: Sides, kinds: readonly Kind[], when: string): Promise<void> {
  await using primary = await open(sides.primary);
  await using secondary = await open(sides.secondary);
  for (const [number, { type }] of kinds.entries())
    assert.deepEqual(await contentOf(secondary, number), await contentOf(primary, number), `${type} ${when}`);
}

for (const generation of generations) {
  suite(`from ${generation} to PostgreSQL 18`, () => {
    let servers: { from: PostgresServer; to: PostgresServer } | undefined;
    after(async () => {
      await servers?.from[Symbol.asyncDispose]();
      await servers?.to[Symbol.asyncDispose]();
    });

    test('every type carries its edge values, copied and streamed alike', async (t) => {
      const from = await serverOf(generation, t);
      if (!from) return;
      servers = { from, to: await openServer() };
      const sides = await openSides(from, servers.to);
      const kinds = kindsOf(Number(generation.split(' ')[1]));
      await run(sides.primary, ...madeTypes, ...kinds.flatMap(tables));
      await insert(sides.primary, kinds, 1);
      await using lane = openLane({ sides });
      await lane.caughtUp();
      await assertSame(sides, kinds, 'in the copy');

      await insert(sides.primary, kinds, streamed);
      await run(
        sides.primary,
        ...kinds.map((_, number) => `UPDATE public.k${number} SET w = NULL WHERE id >= ${streamed}`),
      );
      await lane.caughtUp();
      await assertSame(sides, kinds, 'in the stream');
      const texts = rendered(lane.changes);
      for (const [number, { type, values }] of kinds.entries())
        for (const index of [null, ...values].keys())
          assert.deepEqual(
            texts.get(`k${number} ${streamed + index}`),
            texts.get(`k${number} ${1 + index}`),
            `${type}: value ${index} does not read alike in the copy and in the stream`,
          );

      await run(sides.primary, ...kinds.flatMap((_, number) => rewrites(number)));
      await lane.caughtUp();
      await assertSame(sides, kinds, 'rewritten');
      assert.deepEqual(await run(sides.secondary, 'SELECT drifted FROM changeover.checkpoint'), [['0']]);
    });
  });
}
