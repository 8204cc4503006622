import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import { type Connection, connect } from '../../src/engine/postgres/connect.ts';
import { isCode } from '../../src/error.ts';
import { money, type Pace } from './workload.ts';

/** Reads the secondary until `signal` aborts, through every crash of it, and fails at the first reading that is no exact prefix of what
 *  the primary committed. Returns how many readings there were. */
export async function watch(
  server: PostgresServer,
  { lifeOf, pace }: { readonly lifeOf: () => number; readonly pace: Pace },
  signal: AbortSignal,
): Promise<number> {
  let readings = 0;
  let seen = { life: -1, number: 0 };
  while (!signal.aborted) {
    try {
      await using connection = await connect({ url: server.url(), side: 'TARGET', application: 'reader' }, signal);
      while (!signal.aborted) {
        const life = lifeOf();
        const number = await readOnce(connection);
        // A crash of the secondary may take it back to an earlier prefix. Nothing else may.
        if (number !== undefined && life === seen.life && life === lifeOf())
          assert.ok(number >= seen.number, `${number} transactions were visible where ${seen.number} had been`);
        if (number !== undefined) {
          seen = { life, number };
          pace.visible = number;
          readings += 1;
        }
        await sleep(5, undefined, { signal });
      }
    } catch (error) {
      if (signal.aborted) break;
      if (!isCode(error, 'TARGET_UNREACHABLE', 'TARGET_FAILED')) throw error;
      await sleep(20, undefined, { signal }).catch(() => undefined);
    }
  }
  return readings;
}

/** How many transactions are visible. Undefined while the first copy is not complete. */
async function readOnce(connection: Connection): Promise<number | undefined> {
  await connection.rows('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const number = (await isConsistent(connection)) ? await prefixOf(connection) : undefined;
  await connection.rows('COMMIT');
  return number;
}

async function isConsistent(connection: Connection): Promise<boolean> {
  const [found] = await connection.rows(`SELECT to_regclass('changeover.checkpoint')`);
  if (!found?.[0]) return false;
  const [row] = await connection.rows('SELECT position_token FROM changeover.checkpoint');
  return Boolean(row?.[0]);
}

async function prefixOf(connection: Connection): Promise<number> {
  const numbers = async (sql: string): Promise<number[][]> =>
    (await connection.rows(sql)).map((row) => row.map((cell) => Number(cell ?? 0)));
  const [head] = await numbers('SELECT number FROM public.head');
  const [sum] = await numbers('SELECT sum(balance) FROM public.account');
  assert.deepEqual(sum, [money], 'Money came from nowhere, or went there');
  const clients = await numbers(
    `SELECT counter, (SELECT max(counter) FROM public.transfer WHERE client = c.id),
            (SELECT count(*) FROM public.transfer WHERE client = c.id) FROM public.client c`,
  );
  for (const [counter, last, count] of clients)
    assert.deepEqual([last, count], [counter, counter], 'Of a transaction of this client a part is missing');
  const [ledger] = await numbers('SELECT max(number), count(*) FROM public.ledger');
  const all = clients.reduce((total, [counter = 0]) => total + counter, 0);
  const [number = -1] = head ?? [];
  assert.deepEqual([ledger, all], [[number, number], number], 'The transactions visible are no prefix');
  return number;
}
