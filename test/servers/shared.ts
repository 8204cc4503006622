import { after, before } from 'node:test';
import type { PostgresServer, PostgresServerOptions } from '../../src/demo/postgres-server.ts';
import { type Connection, connect } from '../../src/engine/postgres/connect.ts';
import { openServer } from './clusters.ts';
import { never } from './postgres.ts';

/** An empty database, and a stranger's session in it. */
export interface Database extends AsyncDisposable {
  readonly url: string;
  readonly connection: Connection;
  readonly server: PostgresServer;
}

/** A real server for all tests of the file: started before the first of them, gone after the last. They share its one database, one
 *  after the other: a new one for each would take longer than most tests. */
export function sharedServer(options: PostgresServerOptions = {}): { database(): Promise<Database> } {
  let server: PostgresServer | undefined;
  before(async () => {
    server = await openServer(options);
  });
  after(() => server?.[Symbol.asyncDispose]());
  return {
    async database() {
      if (!server) throw new RangeError('The server is there only while tests run');
      const url = server.url();
      const connection = await connect({ url, side: 'TARGET', application: 'test' }, never);
      return {
        url,
        server,
        connection,
        async [Symbol.asyncDispose]() {
          await empty(connection);
          await connection[Symbol.asyncDispose]();
        },
      };
    },
  };
}

/** Leaves the database as initdb made it. What still reads or writes there is cut: its test is over. */
async function empty(connection: Connection): Promise<void> {
  await connection.rows(
    `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
      WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()`,
  );
  await connection.rows('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
  const publications = await connection.rows('SELECT quote_ident(pubname) FROM pg_publication');
  for (const [name] of publications) await connection.rows(`DROP PUBLICATION ${name}`);
  const schemas = await connection.rows(
    `SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'`,
  );
  if (schemas.length > 0) await connection.rows(`DROP SCHEMA ${schemas.join(', ')} CASCADE`);
  await connection.rows('CREATE SCHEMA public');
}
