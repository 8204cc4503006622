import { type Position } from '../../change/position.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { sqlState } from '../../engine/postgres/failure.ts';
import { quoteIdentifier } from '../../engine/postgres/identifier.ts';
import { formatLsn, type Lsn, parseLsn } from '../../engine/postgres/lsn.ts';
import { ChangeoverError } from '../../error.ts';

export interface SlotState {
  /** Up to here the server may have forgotten. */
  readonly confirmed: Lsn;
  readonly activePid: number | undefined;
  /** `reserved`, `extended`, `unreserved`, `lost`. https://www.postgresql.org/docs/current/view-pg-replication-slots.html */
  readonly walStatus: string;
}

/** Undefined: there is no such slot in this database. */
export async function slotState(connection: Connection, slot: string): Promise<SlotState | undefined> {
  const [row] = await connection.rows(
    `SELECT confirmed_flush_lsn, active_pid, wal_status FROM pg_catalog.pg_replication_slots
      WHERE slot_name = $1 AND slot_type = 'logical' AND database = current_database()`,
    [slot],
  );
  if (!row) return undefined;
  const [confirmed, pid, walStatus] = row;
  return {
    confirmed: parseLsn(confirmed ?? '0/0'),
    activePid: pid ? Number(pid) : undefined,
    walStatus: walStatus ?? 'unknown',
  };
}

/** Which cluster this is, and how far its write-ahead log reaches. `connection` must be a replication connection.
 *  https://www.postgresql.org/docs/current/protocol-replication.html (IDENTIFY_SYSTEM) */
export async function identifySystem(connection: Connection): Promise<{ readonly system: string; readonly end: Lsn }> {
  const [row] = await connection.rows('IDENTIFY_SYSTEM');
  const [system, , end] = row ?? [];
  if (!system || !end) throw new ChangeoverError('SOURCE_PROTOCOL', 'The primary did not identify itself');
  return { system, end: parseLsn(end) };
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

/** The server's process behind a connection. */
export async function backendOf(connection: Connection): Promise<string> {
  const [row] = await connection.rows('SELECT pg_catalog.pg_backend_pid()');
  return row?.[0] ?? '';
}

/** Ends a process of ours at the server, over a connection of its own. Where that fails too, the server is gone or will notice. */
export async function endBackend(open: () => Promise<Connection>, backend: string): Promise<void> {
  try {
    await using connection = await open();
    await connection.rows('SELECT pg_catalog.pg_terminate_backend($1)', [backend]);
  } catch {
    // Nothing is left to do, and the abort is what the caller hears of.
  }
}

/** Proves that the source still holds every change after `after` (invariant 5). Throws SOURCE_SLOT_LOST, SOURCE_POSITION_LOST. */
export function proveReachable(
  after: Position,
  found: { readonly system: string; readonly end: Lsn; readonly slot: SlotState | undefined; readonly name: string },
): void {
  const { system, end, slot, name } = found;
  if (system !== after.origin) {
    throw new ChangeoverError(
      'SOURCE_POSITION_LOST',
      `The log ends at ${after.token} of cluster ${after.origin}, but this server belongs to cluster ${system}`,
      {
        hint: 'Point to the primary that the log was captured from, or start over with a new copy: changeover replicate --restart.',
      },
    );
  }
  if (!slot)
    throw new ChangeoverError(
      'SOURCE_SLOT_LOST',
      `The primary has no slot ${name}: changes after ${after.token} may be gone`,
    );
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
  if (end < after.order) {
    throw new ChangeoverError(
      'SOURCE_POSITION_LOST',
      `The primary's own log ends at ${formatLsn(end)}, before ${after.token}, which was captured already: it lost transactions`,
    );
  }
}
