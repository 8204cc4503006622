import { type Connection, type ConnectOptions, connect } from '../../engine/postgres/connect.ts';
import { isCode } from '../../error.ts';

export interface Pulse {
  /** The server's process of our connection. */
  readonly pid: number;
  readonly silenceMsMax: number;
}

/** Another server may have come to the address, with another process of that number. */
const isOurs = `pid = $1 AND application_name LIKE 'changeover%'`;
/** Waiting on the client while we wait for it: what one of us said was lost on the way.
 *  https://www.postgresql.org/docs/current/monitoring-stats.html#WAIT-EVENT-CLIENT-TABLE */
const workingSql = `SELECT state = 'active' AND wait_event_type IS DISTINCT FROM 'Client' FROM pg_catalog.pg_stat_activity WHERE ${isOurs}`;
const endSql = `SELECT pg_catalog.pg_terminate_backend(pid, $2) FROM pg_catalog.pg_stat_activity WHERE ${isOurs}`;
const endMsMax = 5000;

/** Whether a server that does not answer is busy with what we asked (an index may take hours), asked over another connection. One that
 *  has no business of ours any more is ended there: it would hold the lane's lock against us. */
export async function worksForUs(
  options: ConnectOptions,
  { pid, silenceMsMax }: Pulse,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await using asking = await connect({ ...options, answerMsMax: silenceMsMax }, signal);
    const [row] = await asking.rows(workingSql, [pid]);
    if (row?.[0] === 't') return true;
    await asking.rows(endSql, [pid, endMsMax]);
    return false;
  } catch (error) {
    // Somebody answers, only not this question: what is under way may be left so.
    return !isCode(error, 'TARGET_UNREACHABLE');
  }
}

/** Undocumented in the types of pg, but part of its protocol's BackendKeyData. */
export function processOf({ client }: Connection): number {
  const { processID } = client as unknown as { readonly processID: unknown };
  return typeof processID === 'number' ? processID : 0;
}
