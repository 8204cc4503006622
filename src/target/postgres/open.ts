import { type ConnectOptions, connect } from '../../engine/postgres/connect.ts';
import { ChangeoverError, isCode } from '../../error.ts';
import type { Checkpoint, Target } from '../target.ts';
import { Bulk } from './bulk.ts';
import {
  type CheckpointRow,
  type CheckpointStep,
  checkpointRow,
  createCheckpointTableSql,
  findCheckpointTableSql,
  readCheckpointSql,
  replaceCheckpointSql,
} from './checkpoint.ts';
import { lockKey } from './names.ts';
import { Plans } from './plans.ts';
import { processOf, worksForUs } from './pulse.ts';
import { Session, type Ticket } from './session.ts';
import { Aside, readSetAside } from './set-aside.ts';
import { showingOf } from './show.ts';
import { PostgresTransaction } from './transaction.ts';

export interface PostgresTargetOptions {
  readonly url: string;
  /** The lane's name: names the checkpoint and the lock. */
  readonly name: string;
  /** A server that was silent for so long is asked whether it still works for us. Default 60 s. */
  readonly silenceMsMax?: number;
}

/** Opens a PostgreSQL secondary, 14 or later, and takes the lane's lock there for as long as it is open.
 *  Throws TARGET_UNREACHABLE, TARGET_LOGIN_REFUSED, TARGET_PRIVILEGE, TARGET_BUSY. */
export async function openPostgresTarget(options: PostgresTargetOptions, signal: AbortSignal): Promise<Target> {
  const connecting: ConnectOptions = { url: options.url, side: 'TARGET', application: `changeover ${options.name}` };
  const { silenceMsMax = 60_000 } = options;
  const connection = await connect(connecting, signal);
  const isAlive = (): Promise<boolean> => worksForUs(connecting, { pid: processOf(connection), silenceMsMax }, signal);
  const session = new Session(connection, { silenceMsMax, isAlive });
  const plans = new Plans(session);
  const bulk = new Bulk(session, plans);
  let row: CheckpointStep['previous'];
  let aside = new Aside([]);

  const showing = showingOf(connecting, options.name);

  const close = async (): Promise<void> => {
    session.close();
    await showing[Symbol.asyncDispose]();
    await connection[Symbol.asyncDispose]();
  };
  try {
    await prepare(session);
    const [locked] = await session.rows(
      `SELECT pg_catalog.pg_try_advisory_lock(${lockKey(options.name)})`,
      'Locking the lane',
    );
    if (locked?.[0] !== 't') throw new ChangeoverError('TARGET_BUSY', 'Another process applies to this secondary');
    row = await readRow(session, options.name);
    const rows = (sql: string) => session.rows(sql, 'Looking for tables that are set aside');
    aside = new Aside(await readSetAside({ rows }, options.name));
  } catch (error) {
    await close();
    throw error;
  }

  const sendCheckpoint = (checkpoint: Checkpoint, drifted: number): Promise<Ticket> =>
    session.run(replaceCheckpointSql(options.name, { previous: row, next: checkpoint, drifted }));

  return {
    async checkpoint() {
      row = await readRow(session, options.name);
      return row?.checkpoint;
    },
    prepare: (net) => bulk.prepare(net),
    async begin(inner) {
      inner.throwIfAborted();
      return new PostgresTransaction({
        session,
        bulk,
        plans,
        lane: options.name,
        aside,
        sendCheckpoint,
        committed(checkpoint) {
          const { stream, epoch, offset } = checkpoint;
          row = { checkpoint, stream, epoch: String(epoch), offset: String(offset) };
        },
      });
    },
    async flush() {
      // A commit that waits for the disk carries all commits before it. It waits only if its transaction wrote to the log.
      await session.run('BEGIN');
      await session.run('SET LOCAL synchronous_commit = on');
      await session.rows(`SELECT pg_catalog.pg_logical_emit_message(true, 'changeover', 'flush')`, 'Flushing');
      await session.run('COMMIT');
      await session.settle('Flushing');
    },
    show: (id, inner) => showing.show(id, inner),
    [Symbol.asyncDispose]: close,
  };
}

/** The settings of a writer, and the place of the checkpoint. */
async function prepare(session: Session): Promise<void> {
  try {
    // The secondary's own triggers and foreign keys must not act again on what they did at the primary.
    await session.run('SET session_replication_role = replica');
    await session.settle('Becoming a replication writer');
  } catch (cause) {
    // A server that goes down just now is another matter, and comes back.
    if (!isCode(cause, 'TARGET_PRIVILEGE')) throw cause;
    throw new ChangeoverError('TARGET_PRIVILEGE', 'We may not write as a replica at the secondary', {
      hint: 'As a superuser there (15 and later): GRANT SET ON PARAMETER session_replication_role TO <our role>. Before 15 the role must be a superuser.',
      cause,
    });
  }
  // Not waiting for the disk costs nothing: after a crash rows and checkpoint are an earlier state together, and the log has the
  // rest. `flush` waits.
  await session.run('SET synchronous_commit = off');
  // A lot is sorted by key: in memory, not on the secondary's disk.
  await session.run(`SET work_mem = '64MB'`);
  const [exists] = await session.rows(findCheckpointTableSql, 'Looking for the checkpoint');
  if (exists?.[0]) return;
  for (const sql of createCheckpointTableSql) await session.run(sql);
  await session.settle('Making the place of the checkpoint');
}

async function readRow(session: Session, lane: string): Promise<CheckpointRow | undefined> {
  const [found] = await session.rows(readCheckpointSql(lane), 'Reading the checkpoint');
  return found && checkpointRow(found);
}
