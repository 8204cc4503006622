import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPostgresServer, type PostgresServer } from '../src/demo/postgres-server.ts';
import { type Connection, connect } from '../src/engine/postgres/connect.ts';
import { createShapes, fillShapes } from './shapes.ts';
import { createData, createTables } from './workload.ts';

/** The same for both servers. Everything else is as PostgreSQL comes: fsync, full_page_writes, synchronous_commit and autovacuum on.
 *  A checkpoint would strike some measurements and not others, and make the next seconds pay for full page images that are due once
 *  in minutes: there is none while we measure. */
export const settings = {
  shared_buffers: '1GB',
  max_wal_size: '16GB',
  checkpoint_timeout: '1h',
  max_worker_processes: '16',
} as const;

export const primaryDatabase = 'bench';
const pollMs = 20;

/** A primary with the data and a secondary without, and what the bench needs of them. */
export interface Pair extends AsyncDisposable {
  readonly primary: PostgresServer;
  readonly secondary: PostgresServer;
  /** For logs, on the disk that the servers use. */
  readonly folder: string;
  /** A session at one of the servers; closed with the pair at the latest. */
  open(server: PostgresServer, database: string): Promise<Connection>;
  /** An empty database at the secondary, with the primary's tables. */
  createSecondary(database: string): Promise<void>;
  /** Makes what follows independent of what went before: no dead rows, and nothing for autovacuum to begin in the middle. */
  settle(): Promise<void>;
  readonly version: string;
}

/** `shapes`: with the tables of those workloads too, for so many runs of each. */
export async function openPair(
  { scale, shapes }: { readonly scale: number; readonly shapes: number },
  signal: AbortSignal,
): Promise<Pair> {
  await using made = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'changeover-bench-'));
  made.defer(() => rm(folder, { recursive: true, force: true }));
  const [primary, secondary] = await Promise.all([
    openPostgresServer({ durable: true, settings }),
    openPostgresServer({ durable: true, settings }),
  ]);
  made.use(primary);
  made.use(secondary);
  signal.throwIfAborted();
  const open = (server: PostgresServer, database: string): Promise<Connection> =>
    connect({ url: server.url(database), side: 'SOURCE', application: 'bench' }, signal);

  const atSecondary = made.use(await open(secondary, 'postgres'));
  {
    await using atPrimary = await open(primary, 'postgres');
    await atPrimary.rows(`CREATE DATABASE ${primaryDatabase}`);
  }
  const data = made.use(await open(primary, primaryDatabase));
  await createTables(data);
  await createData(data, scale);
  if (shapes > 0) {
    await createShapes(data);
    await fillShapes(data, shapes);
  }
  const [row] = await data.rows('SHOW server_version');
  const databases: string[] = [];
  const owned = made.move();
  return {
    primary,
    secondary,
    folder,
    open,
    version: row?.[0] ?? '',
    async createSecondary(database) {
      await atSecondary.rows(`CREATE DATABASE ${database}`);
      await using connection = await open(secondary, database);
      await createTables(connection);
      if (shapes > 0) await createShapes(connection);
      databases.push(database);
    },
    async settle() {
      await data.rows('VACUUM ANALYZE');
      for (const database of databases) {
        await using connection = await open(secondary, database);
        await connection.rows('VACUUM ANALYZE');
      }
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A connection that was just closed may hold the slot a moment longer. */
export async function slotIsFree(primary: Connection, slot: string): Promise<void> {
  const sql = 'SELECT active FROM pg_catalog.pg_replication_slots WHERE slot_name = $1';
  while ((await primary.rows(sql, [slot]))[0]?.[0] === 't') await sleep(pollMs);
}

export async function dropSlot(primary: Connection, slot: string): Promise<void> {
  await slotIsFree(primary, slot);
  await primary.rows('SELECT pg_catalog.pg_drop_replication_slot($1)', [slot]);
}
