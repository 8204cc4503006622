import { type Connection, type ConnectOptions, connect } from '../../engine/postgres/connect.ts';
import { quoteLiteral } from '../../engine/postgres/identifier.ts';
import { openSnapshot } from '../../engine/postgres/snapshot.ts';
import { ChangeoverError } from '../../error.ts';

/* What a lane's secondary holds at one moment, shown to whoever asked for it: a snapshot is exported, and its name told in a table. */

/** Who asked waits for it, so he comes at once; and it holds vacuum back here. */
const shownMs = 60_000;

const tableSql = `CREATE TABLE IF NOT EXISTS changeover.shown (
  lane text PRIMARY KEY, id text NOT NULL, snapshot text NOT NULL)`;

export interface Showing extends AsyncDisposable {
  /** Shows what is committed now. One that cannot be shown is not told of: whoever asked says that nobody answered, and the lane
   *  goes on. */
  show(id: string, signal: AbortSignal): Promise<void>;
}

export function showingOf(options: ConnectOptions, lane: string): Showing {
  let held: { readonly connection: Connection; readonly timer: NodeJS.Timeout } | undefined;
  const drop = async (): Promise<void> => {
    const former = held;
    held = undefined;
    clearTimeout(former?.timer);
    await former?.connection[Symbol.asyncDispose]();
  };
  return {
    async show(id, signal) {
      await drop();
      try {
        const connection = await connect(options, signal);
        const timer = setTimeout(() => void drop(), shownMs);
        timer.unref();
        held = { connection, timer };
        await connection.rows('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
        const [row] = await connection.rows('SELECT pg_catalog.pg_export_snapshot()');
        await tell(options, { lane, id, snapshot: row?.[0] ?? '' }, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ChangeoverError)) throw error;
        await drop();
      }
    },
    [Symbol.asyncDispose]: drop,
  };
}

interface Told {
  readonly lane: string;
  readonly id: string;
  readonly snapshot: string;
}

async function tell(options: ConnectOptions, { lane, id, snapshot }: Told, signal: AbortSignal): Promise<void> {
  await using connection = await connect(options, signal);
  await connection.rows(tableSql);
  await connection.rows(
    `INSERT INTO changeover.shown (lane, id, snapshot) VALUES ($1, $2, $3)
     ON CONFLICT (lane) DO UPDATE SET (id, snapshot) = (excluded.id, excluded.snapshot)`,
    [lane, id, snapshot],
  );
}

export interface Asked {
  readonly lane: string;
  readonly id: string;
}

/** A connection that sees what is shown under `id`. Undefined: nothing is, yet. `connection` asks for it. */
export async function enterShown(
  connection: Connection,
  { lane, id, options }: Asked & { readonly options: ConnectOptions },
  signal: AbortSignal,
): Promise<Connection | undefined> {
  const [table] = await connection.rows(`SELECT pg_catalog.to_regclass('changeover.shown')`);
  if (!table?.[0]) return undefined;
  const [row] = await connection.rows(
    `SELECT snapshot FROM changeover.shown WHERE lane = ${quoteLiteral(lane)} AND id = ${quoteLiteral(id)}`,
  );
  return row?.[0] ? openSnapshot(options, row[0], signal) : undefined;
}
