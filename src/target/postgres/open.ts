import { epoch, offset } from '../../change/position.ts';
import type { Table } from '../../change/table.ts';
import { connect } from '../../engine/postgres/connect.ts';
import { quoteLiteral } from '../../engine/postgres/identifier.ts';
import { ChangeoverError } from '../../error.ts';
import type { Checkpoint, Target } from '../target.ts';
import { Bulk } from './bulk.ts';
import { lockKey } from './names.ts';
import { type Plan, planFor } from './plan.ts';
import { Session, type Ticket } from './session.ts';
import { PostgresTransaction } from './transaction.ts';

export interface PostgresTargetOptions {
  readonly url: string;
  /** The lane's name: names the checkpoint and the lock. */
  readonly name: string;
}

/** What the checkpoint row holds. Without a stream: a former copy was given up, and its tables are still ours. */
type Row =
  | { readonly checkpoint: Checkpoint | undefined; readonly stream: string; readonly offset: string }
  | undefined;

/** Opens a PostgreSQL secondary, 14 or later, and takes the lane's lock there for as long as it is open.
 *  Throws TARGET_UNREACHABLE, TARGET_LOGIN_REFUSED, TARGET_PRIVILEGE, TARGET_BUSY. */
export async function openPostgresTarget(options: PostgresTargetOptions, signal: AbortSignal): Promise<Target> {
  const connection = await connect(
    { url: options.url, side: 'TARGET', application: `changeover ${options.name}` },
    signal,
  );
  const session = new Session(connection);
  const lane = quoteLiteral(options.name);
  const plans = new Map<Table, Plan>();
  const planOf = async (table: Table): Promise<Plan> => {
    const known = plans.get(table);
    if (known) return known;
    const plan = await planFor(session, table);
    plans.set(table, plan);
    return plan;
  };
  const bulk = new Bulk(session, planOf);
  let row: Row;

  const close = async (): Promise<void> => {
    session.close();
    await connection[Symbol.asyncDispose]();
  };
  try {
    await prepare(session);
    const [locked] = await session.rows(
      `SELECT pg_catalog.pg_try_advisory_lock(${lockKey(options.name)})`,
      'Locking the lane',
    );
    if (locked?.[0] !== 't') throw new ChangeoverError('TARGET_BUSY', 'Another process applies to this secondary');
    row = await readRow(session, lane);
  } catch (error) {
    await close();
    throw error;
  }

  const sendCheckpoint = (checkpoint: Checkpoint, drifted: number): Promise<Ticket> => {
    const { stream, epoch: at, offset: place, position } = checkpoint;
    const values = [
      quoteLiteral(stream),
      String(at),
      String(place),
      position ? quoteLiteral(position.origin) : 'NULL',
      position ? String(position.order) : 'NULL',
      position ? quoteLiteral(position.token) : 'NULL',
    ];
    // Invariant 7: only who knows the checkpoint that is there may replace it.
    return session.run(
      row
        ? `UPDATE changeover.checkpoint SET (stream, epoch, log_offset, origin, position_order, position_token, drifted, updated_at)
           = (${values.join(', ')}, drifted + ${drifted}, pg_catalog.clock_timestamp())
           WHERE lane = ${lane} AND stream = ${quoteLiteral(row.stream)} AND log_offset = ${row.offset}`
        : `INSERT INTO changeover.checkpoint (lane, stream, epoch, log_offset, origin, position_order, position_token, drifted)
           VALUES (${[lane, ...values, drifted].join(', ')}) ON CONFLICT DO NOTHING`,
    );
  };

  return {
    async checkpoint() {
      row = await readRow(session, lane);
      return row?.checkpoint;
    },
    async begin(inner) {
      inner.throwIfAborted();
      return new PostgresTransaction({
        session,
        bulk,
        planOf,
        replan: () => plans.clear(),
        ours: row !== undefined,
        sendCheckpoint,
        committed(checkpoint) {
          row = { checkpoint, stream: checkpoint.stream, offset: String(checkpoint.offset) };
        },
      });
    },
    async flush() {
      // A commit that waits for the disk carries all commits before it; it needs a transaction number to be one.
      await session.run('BEGIN');
      await session.run('SET LOCAL synchronous_commit = on');
      await session.rows('SELECT pg_catalog.pg_current_xact_id()', 'Flushing');
      await session.run('COMMIT');
      await session.settle('Flushing');
    },
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
    throw new ChangeoverError('TARGET_PRIVILEGE', 'We may not write as a replica at the secondary', {
      hint: 'As a superuser there (15 and later): GRANT SET ON PARAMETER session_replication_role TO <our role>. Before 15 the role must be a superuser.',
      cause,
    });
  }
  // Not waiting for the disk costs nothing: after a crash rows and checkpoint are an earlier state together, and the log has the
  // rest. `flush` waits.
  await session.run('SET synchronous_commit = off');
  const [exists] = await session.rows(
    `SELECT pg_catalog.to_regclass('changeover.checkpoint')`,
    'Looking for the checkpoint',
  );
  if (exists?.[0]) return;
  await session.run('CREATE SCHEMA IF NOT EXISTS changeover');
  await session.run(
    `CREATE TABLE IF NOT EXISTS changeover.checkpoint (
       lane text PRIMARY KEY, stream text NOT NULL, epoch bigint NOT NULL, log_offset bigint NOT NULL,
       origin text, position_order numeric, position_token text,
       drifted bigint NOT NULL DEFAULT 0, updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp())
     WITH (fillfactor = 50)`,
  );
  await session.settle('Making the place of the checkpoint');
}

async function readRow(session: Session, lane: string): Promise<Row> {
  const [found] = await session.rows(
    `SELECT stream, epoch, log_offset, origin, position_order, position_token FROM changeover.checkpoint WHERE lane = ${lane}`,
    'Reading the checkpoint',
  );
  if (!found) return undefined;
  const [stream, at, place, origin, order, token] = found;
  if (!stream || !at || !place) return { checkpoint: undefined, stream: stream ?? '', offset: place ?? '0' };
  const position = origin && order && token ? { origin, order: BigInt(order), token } : undefined;
  return {
    checkpoint: { stream, epoch: epoch(Number(at)), offset: offset(Number(place)), position },
    stream,
    offset: place,
  };
}
