import { type Connection, type ConnectOptions, connect } from './connect.ts';
import { quoteLiteral } from './identifier.ts';

/** Lets a connection see what another one exported, and nothing later, until it ends.
 *  https://www.postgresql.org/docs/current/sql-set-transaction.html */
export async function enterSnapshot(connection: Connection, snapshot: string): Promise<void> {
  await connection.rows('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await connection.rows(`SET TRANSACTION SNAPSHOT ${quoteLiteral(snapshot)}`);
}

/** As `enterSnapshot`, with the connection taken over: it is closed where that fails. */
export async function intoSnapshot(connection: Connection, snapshot: string): Promise<Connection> {
  try {
    await enterSnapshot(connection, snapshot);
    return connection;
  } catch (error) {
    await connection[Symbol.asyncDispose]();
    throw error;
  }
}

/** A connection that sees an exported snapshot. Whoever exported it must be there until this returns, and no longer. */
export const openSnapshot = async (
  options: ConnectOptions,
  snapshot: string,
  signal: AbortSignal,
): Promise<Connection> => intoSnapshot(await connect(options, signal), snapshot);
