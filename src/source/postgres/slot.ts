import { type Position } from '../../change/position.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { sqlState } from '../../engine/postgres/failure.ts';
import { quoteIdentifier } from '../../engine/postgres/identifier.ts';
import { formatLsn, type Lsn, parseLsn, timelineOf } from '../../engine/postgres/lsn.ts';
import { ChangeoverError } from '../../error.ts';
import { type History, proveInPast } from './history.ts';

export interface SlotState {
  /** Up to here the server may have forgotten. */
  readonly confirmed: Lsn;
  readonly activePid: number | undefined;
  /** `reserved`, `extended`, `unreserved`, `lost`. https://www.postgresql.org/docs/current/view-pg-replication-slots.html */
  readonly walStatus: string;
  /** A standby may keep it, so that it outlives the primary. Undefined: servers before 17 know no such thing. */
  readonly isFailover: boolean | undefined;
}

/** Undefined: there is no such slot in this database. */
export async function slotState(connection: Connection, slot: string): Promise<SlotState | undefined> {
  const [row] = await connection.rows(
    `SELECT confirmed_flush_lsn, active_pid, wal_status, pg_catalog.to_jsonb(s) ->> 'failover'
       FROM pg_catalog.pg_replication_slots s
      WHERE slot_name = $1 AND slot_type = 'logical' AND database = current_database()`,
    [slot],
  );
  if (!row) return undefined;
  const [confirmed, pid, walStatus, failover] = row;
  return {
    confirmed: parseLsn(confirmed ?? '0/0'),
    activePid: pid ? Number(pid) : undefined,
    walStatus: walStatus ?? 'unknown',
    isFailover: failover ? failover === 'true' : undefined,
  };
}

const goneMsMax = 5000;

/** Drops the slot; whoever reads it is cut off. Does nothing where there is none of ours. Throws SOURCE_SLOT_BUSY. */
export async function dropSlot(connection: Connection, slot: string): Promise<void> {
  const state = await slotState(connection, slot);
  if (!state) return;
  if (state.activePid !== undefined)
    await connection.rows('SELECT pg_catalog.pg_terminate_backend($1, $2)', [state.activePid, goneMsMax]);
  await connection.rows('SELECT pg_catalog.pg_drop_replication_slot($1)', [slot]);
}

export interface CreatedSlot {
  readonly consistentPoint: Lsn;
  readonly snapshot: string;
}

/** Creates a slot that goes with the connection. The exported snapshot is the state at exactly its first position, and lives while
 *  `walsender` does nothing else. Waits for every transaction that is open now. The old spelling of the option: servers before 15
 *  know no other. */
export async function createPassingSlot(walsender: Connection, slot: string): Promise<CreatedSlot> {
  const [row] = await walsender.rows(
    `CREATE_REPLICATION_SLOT ${quoteIdentifier(slot)} TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT`,
  );
  const [, consistentPoint, snapshot] = row ?? [];
  if (!consistentPoint || !snapshot) throw new ChangeoverError('SOURCE_PROTOCOL', 'The primary exported no snapshot');
  return { consistentPoint: parseLsn(consistentPoint), snapshot };
}

/** Makes a lasting slot that stands where the passing one does. Throws SOURCE_SLOT_BUSY when one of its name came to be there: whose it is
 *  shows at the next start.
 *  https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION */
export async function keepSlot(control: Connection, passing: string, slot: string): Promise<void> {
  await control
    .rows(`SELECT pg_catalog.pg_copy_logical_replication_slot($1, $2, false, 'pgoutput')`, [passing, slot])
    .catch((cause: unknown) => {
      if (sqlState(cause) !== duplicateObject) throw cause;
      throw new ChangeoverError('SOURCE_SLOT_BUSY', `A slot ${slot} came to stand at the primary before ours`, {
        cause,
      });
    });
}

const duplicateObject = '42710';

/** Lets standbys keep the slot. Nobody may read it meanwhile.
 *  https://www.postgresql.org/docs/current/logicaldecoding-explanation.html (Replication Slot Synchronization) */
export async function allowFailover(walsender: Connection, slot: string): Promise<void> {
  await walsender.rows(`ALTER_REPLICATION_SLOT ${quoteIdentifier(slot)} (FAILOVER true)`);
}

/** The server's process behind a connection. */
export async function backendOf(connection: Connection): Promise<string> {
  const [row] = await connection.rows('SELECT pg_catalog.pg_backend_pid()');
  return row?.[0] ?? '';
}

/** Ends a process of ours at the server, over a connection of its own. Where that fails too, the server is gone or will notice. */
export async function endBackend(open: () => Promise<Connection>, backend: string): Promise<void> {
  try {
    await using connection = await open();
    // Another server may have come to the address, with another process of that number.
    await connection.rows(
      `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE pid = $1 AND application_name LIKE 'changeover%'`,
      [backend],
    );
  } catch {
    // Nothing is left to do, and the abort is what the caller hears of.
  }
}

const restartHint =
  'The secondary has what this server never had. Look it through, then start over with a new copy: changeover replicate --restart.';
const promotedHint =
  'Copy only what differs: changeover resync. From PostgreSQL 17 on a standby with sync_replication_slots keeps our slot.';

/** Proves that the source still holds every change after `after` (invariant 5). Throws SOURCE_SLOT_LOST, SOURCE_POSITION_LOST. */
export function proveReachable(
  after: Position,
  found: { readonly history: History; readonly slot: SlotState | undefined; readonly name: string },
): void {
  const { history, slot, name } = found;
  proveInPast(after, history);
  if (!slot) {
    const promoted = history.timeline === timelineOf(after) ? '' : `, and was promoted to timeline ${history.timeline}`;
    throw new ChangeoverError(
      'SOURCE_SLOT_LOST',
      `The primary has no slot ${name}${promoted}: changes after ${after.token} may be gone`,
      promoted ? { hint: promotedHint } : {},
    );
  }
  if (slot.walStatus === 'lost') {
    throw new ChangeoverError(
      'SOURCE_SLOT_LOST',
      `The primary invalidated slot ${name}: changes after ${after.token} are gone`,
    );
  }
  if (slot.confirmed > after.order) {
    throw new ChangeoverError(
      'SOURCE_POSITION_LOST',
      `Slot ${name} stands at ${formatLsn(slot.confirmed)}, the log ends before it at ${after.token}: what lies between is gone`,
    );
  }
  proveNotBehind(after, history);
}

/** Throws SOURCE_POSITION_LOST. */
export function proveNotBehind(after: Position, history: History): void {
  if (history.end >= after.order) return;
  throw new ChangeoverError(
    'SOURCE_POSITION_LOST',
    `The primary's own log ends at ${formatLsn(history.end)}, before ${after.token}, which was captured already: it lost transactions`,
    { hint: restartHint },
  );
}
