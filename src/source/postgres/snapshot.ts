import type { Batch, Change, Rows, SchemaStatement } from '../../change/change.ts';
import type { Position } from '../../change/position.ts';
import { tableName } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { COPY_DATA, query, READY_FOR_QUERY } from '../../engine/postgres/message.ts';
import { Wire } from '../../engine/postgres/wire.ts';
import { pumped } from '../../flow/pumped.ts';
import { publish } from '../../telemetry.ts';
import { type Chunk, chunksOf, copySql, extentsOf } from './chunks.ts';
import { readSchema } from './schema/read.ts';
import { replicatedTables } from './tables.ts';

/** Big enough that a sync of the log per block costs little, small enough that a handful fit into the memory budget. */
const blockBytes = 2 * 1024 * 1024;
/** Of all connections together; each fills one block besides. */
const aheadBytesMax = 2 * blockBytes;
/** A statement takes a few locks; PostgreSQL has room for some 6,400 by default (max_locks_per_transaction * max_connections). */
const lotStatements = 500;

export interface SnapshotOptions {
  /** Connections whose transactions see the snapshot, at least one; taken over for good. Each copies tables, or parts of one. */
  readonly reading: readonly [Connection, ...Connection[]];
  /** The position that the snapshot shows. */
  readonly at: Position;
  readonly wanted: (table: { schema: string; name: string }) => boolean;
}

/** The schema and all rows that the snapshot shows, as pieces whose last has the snapshot's position for its end. */
export async function* snapshotPieces(options: SnapshotOptions, signal: AbortSignal): AsyncGenerator<Batch> {
  const { reading, at, wanted } = options;
  const [first] = reading;
  const tables = await replicatedTables(first, wanted);
  const script = await readSchema(first, wanted);
  const chunks = chunksOf(tables, await extentsOf(first));
  const piece = (changes: readonly Change[], end?: Position): Batch => ({
    after: undefined,
    starts: false,
    changes,
    end,
  });
  yield piece([{ kind: 'snapshot', tables }]);
  for (const statements of lots(script.beforeRows)) yield piece([{ kind: 'schema', statements }]);
  const blocks = pumped<Rows>(
    {
      produce: (give, both) => copyChunks({ reading, chunks, give: (rows) => give(rows, rows.block.length) }, both),
      bytesMax: aheadBytesMax,
      takeBytesMax: blockBytes,
    },
    signal,
  );
  for await (const rows of blocks) yield piece(rows);
  for (const statements of lots(script.afterRows)) yield piece([{ kind: 'schema', statements }]);
  yield piece([], at);
}

type Give = (rows: Rows) => Promise<void>;

interface Copying {
  readonly reading: readonly Connection[];
  readonly chunks: readonly Chunk[];
  readonly give: Give;
}

/** Every connection takes the next chunk that nobody has, until there is none. When one fails, the others end with their chunks. */
async function copyChunks({ reading, chunks, give }: Copying, signal: AbortSignal): Promise<void> {
  const failed = new AbortController();
  const left = chunks.values();
  const progress = { rows: 0, bytes: 0, bytesAll: chunks.reduce((sum, { bytes }) => sum + bytes, 0) };
  const tell = (): void => publish('changeover:copying', { ...progress });
  tell();
  const copy = async (connection: Connection): Promise<void> => {
    const wire = new Wire(connection);
    for (const chunk of left) {
      if (signal.aborted || failed.signal.aborted) return;
      await copyOut(wire, chunk, async (rows) => {
        await give(rows);
        progress.rows += rows.count;
      });
      progress.bytes += chunk.bytes;
      tell();
    }
  };
  const copying = reading.map((connection) =>
    copy(connection).catch((error: unknown) => {
      failed.abort();
      throw error;
    }),
  );
  const ended = await Promise.allSettled(copying);
  const failure = ended.find((one) => one.status === 'rejected');
  if (failure) throw failure.reason;
}

/** Each lot becomes one transaction at the target: thousands of new objects in one would exhaust its table of locks. */
function* lots(statements: readonly SchemaStatement[]): Generator<readonly SchemaStatement[]> {
  for (let from = 0; from < statements.length; from += lotStatements)
    yield statements.slice(from, from + lotStatements);
}

/** Hands over a chunk's rows in blocks of whole rows: COPY sends each row as one frame.
 *  https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY */
async function copyOut(wire: Wire, chunk: Chunk, give: Give): Promise<void> {
  const { table } = chunk;
  await wire.send(query(copySql(chunk)));
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
    for (const { type, body } of wire.checked(await wire.take(), `Copying ${tableName(table)}`)) {
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
