import type { Connection } from '../../engine/postgres/connect.ts';
import { ChangeoverError } from '../../error.ts';
import { lockKey } from './names.ts';

/** Does `work` in a transaction that holds the lane's lock: while nobody applies. Throws TARGET_BUSY. An error leaves the transaction to
 *  the session, which closes a connection after any. */
export async function alone(connection: Connection, lane: string, work: () => Promise<void>): Promise<void> {
  await connection.rows('BEGIN');
  const [[got] = []] = await connection.rows('SELECT pg_try_advisory_xact_lock($1)', [lockKey(lane)]);
  if (got !== 't')
    throw new ChangeoverError('TARGET_BUSY', `Lane ${lane} is being applied`, { hint: 'Stop it first.' });
  await work();
  await connection.rows('COMMIT');
}
