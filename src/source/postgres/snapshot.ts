import type { Batch, Change, Rows, SchemaStatement } from '../../change/change.ts';
import type { Position } from '../../change/position.ts';
import type { Table } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { columnList, quoteLiteral, quoteTable } from '../../engine/postgres/identifier.ts';
import { COPY_DATA, query, READY_FOR_QUERY } from '../../engine/postgres/message.ts';
import { Wire } from '../../engine/postgres/wire.ts';
import { pumped } from '../../flow/pumped.ts';
import { readSchema } from './schema/read.ts';
import { replicatedTables } from './tables.ts';

/** Big enough that a sync of the log per block costs little, small enough that a handful fit into the memory budget. */
const blockBytes = 2 * 1024 * 1024;
const aheadBytesMax = 2 * blockBytes;
/** A statement takes a few locks; PostgreSQL has room for some 6,400 by default (max_locks_per_transaction * max_connections). */
const lotStatements = 500;

export interface SnapshotOptions {
  /** A connection whose transaction sees the snapshot; taken over for good. */
  readonly reading: Connection;
  /** The position that the snapshot shows. */
  readonly at: Position;
  readonly wanted: (table: { schema: string; name: string }) => boolean;
}

/** Lets a connection see an exported snapshot: the state at exactly the slot's first position.
 *  https://www.postgresql.org/docs/current/sql-set-transaction.html */
export async function enterSnapshot(connection: Connection, snapshot: string): Promise<void> {
  await connection.rows('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await connection.rows(`SET TRANSACTION SNAPSHOT ${quoteLiteral(snapshot)}`);
}

/** The schema and all rows that the snapshot shows, as pieces whose last has the snapshot's position for its end. */
export async function* snapshotPieces(options: SnapshotOptions, signal: AbortSignal): AsyncGenerator<Batch> {
  const { reading, at, wanted } = options;
  const tables = await replicatedTables(reading, wanted);
  const script = await readSchema(reading, wanted);
  const piece = (changes: readonly Change[], end?: Position): Batch => ({
    after: undefined,
    starts: false,
    changes,
    end,
  });
  yield piece([{ kind: 'snapshot', tables }]);
  for (const statements of lots(script.beforeRows)) yield piece([{ kind: 'schema', statements }]);
  const wire = new Wire(reading);
  const blocks = pumped<Rows>(
    {
      produce: async (give) => {
        for (const table of tables) await copyOut(wire, table, (rows) => give(rows, rows.block.length));
      },
      bytesMax: aheadBytesMax,
      takeBytesMax: blockBytes,
    },
    signal,
  );
  for await (const rows of blocks) yield piece(rows);
  for (const statements of lots(script.afterRows)) yield piece([{ kind: 'schema', statements }]);
  yield piece([], at);
}

/** Each lot becomes one transaction at the target: thousands of new objects in one would exhaust its table of locks. */
function* lots(statements: readonly SchemaStatement[]): Generator<readonly SchemaStatement[]> {
  for (let from = 0; from < statements.length; from += lotStatements)
    yield statements.slice(from, from + lotStatements);
}

/** Hands over a table's rows in blocks of whole rows: COPY sends each row as one frame.
 *  https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY */
async function copyOut(wire: Wire, table: Table, give: (rows: Rows) => Promise<void>): Promise<void> {
  await wire.send(query(`COPY ${quoteTable(table)}${columnList(table.columns)} TO STDOUT`));
  let block = Buffer.allocUnsafe(blockBytes);
  let bytes = 0;
  let count = 0;
  const flush = async (): Promise<void> => {
    if (count === 0) return;
    const filled = block.subarray(0, bytes);
    // The many small tables of a schema must not hold a block each.
    const isSmall = bytes < blockBytes / 2;
    const rows: Rows = { kind: 'rows', table, count, block: isSmall ? Buffer.from(filled) : filled };
    if (!isSmall) block = Buffer.allocUnsafe(blockBytes);
    bytes = 0;
    count = 0;
    await give(rows);
  };
  for (;;) {
    for (const { type, body } of wire.checked(await wire.take(), `Copying ${quoteTable(table)}`)) {
      if (type === COPY_DATA) {
        if (bytes + body.length > block.length) await flush();
        // A row that is larger than a block is one by itself.
        if (body.length > block.length) block = Buffer.allocUnsafe(body.length);
        // Copied at once: rows kept as they came would keep thousands of objects alive for each block.
        bytes += body.copy(block, bytes);
        count += 1;
      } else if (type === READY_FOR_QUERY) {
        await flush();
        return;
      }
    }
  }
}
