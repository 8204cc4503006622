import type { Batch, Change, Message, Rows, SchemaStatement } from '../../change/change.ts';
import { bytesOf } from '../../change/codec.ts';
import type { Position } from '../../change/position.ts';
import { type Table, tableName } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteTable } from '../../engine/postgres/identifier.ts';
import { COPY_DATA, query, READY_FOR_QUERY } from '../../engine/postgres/message.ts';
import { Wire } from '../../engine/postgres/wire.ts';
import { pumped } from '../../flow/pumped.ts';
import { publish } from '../../telemetry.ts';
import type { CaughtUp } from './catch-up.ts';
import { type Chunk, chunksOf, copySql, type Extent, extentsOf } from './chunks.ts';
import { type Cut, cutOf, type Excerpts } from './excerpt.ts';
import { filled } from './fill.ts';
import {
  caughtUpMessage,
  copiedMessage,
  fingerprint,
  type Opening,
  openedMessage,
  type Parts,
  partMessage,
} from './progress.ts';
import { gapsOf } from './ranges.ts';
import { readSchema } from './schema/read.ts';
import { replicatedTables } from './tables.ts';

/** Big enough that a sync of the log per block costs little, small enough that a handful fit into the memory budget. */
const blockBytes = 1024 * 1024;
/** Of all connections together; each fills one block besides. */
const aheadBytesMax = 2 * blockBytes;
/** Small enough that the last chunks end together, that a copy's progress shows, and that little is copied again when it is
 *  interrupted; large enough that what a statement costs does not. */
const chunkBytesUsual = 32 * 1024 * 1024;
/** A statement takes a few locks; PostgreSQL has room for some 6,400 by default (max_locks_per_transaction * max_connections). */
const lotStatements = 500;

export interface SnapshotOptions {
  /** Connections whose transactions see the snapshot, at least one; taken over for good. Each copies tables, or parts of one. */
  readonly reading: readonly [Connection, ...Connection[]];
  /** The position that the snapshot shows. */
  readonly at: Position;
  readonly wanted: (table: { schema: string; name: string }) => boolean;
  /** Default 32 MB. */
  readonly chunkBytes?: number | undefined;
  /** What to go on with: called with the tables that are copied already. */
  readonly former?: Former | undefined;
  readonly excerpts?: Excerpts | undefined;
}

export interface Former {
  readonly opening: Opening;
  /** What became of rows that are copied already, up to the snapshot. */
  readonly caughtUp: (copied: (table: Table) => boolean) => AsyncIterable<CaughtUp>;
}

const piece = (changes: readonly Change[], end?: Position): Batch => ({
  after: undefined,
  starts: false,
  changes,
  end,
});

/** The schema and all rows that the snapshot shows, as pieces whose last has the snapshot's position for its end. With a `former`
 *  copy, which must be fit to go on with, only what that one lacks: what is copied is brought up to the snapshot, the rest copied. */
export async function* snapshotPieces(options: SnapshotOptions, signal: AbortSignal): AsyncGenerator<Batch> {
  const { reading, at, wanted, chunkBytes = chunkBytesUsual, former, excerpts } = options;
  const [first] = reading;
  const cuts = new Map<Table, Cut>();
  for (const table of await replicatedTables(first, wanted)) {
    const cut = cutOf(table, excerpts);
    cuts.set(cut.table, cut);
  }
  const tables = [...cuts.keys()];
  const partly = former ? await partlyCopied(first, tables, former.opening) : new Map<string, Parts>();
  const extents = await extentsOf(first);
  const copied = new Set(former?.opening.copied);
  const left = tables.filter((table) => !copied.has(tableName(table)));
  const script = await readSchema(first, wanted);
  const opened = openedMessage({
    at: former?.opening.at ?? at,
    changes: former?.opening.changes ?? 0,
    tables: fingerprintsOf(tables, extents),
    copied: [...copied],
    parts: partly,
  });
  yield piece([{ kind: 'snapshot', tables: left.filter((table) => !partly.has(tableName(table))) }, opened]);
  for (const statements of lots(script.beforeRows)) yield piece([{ kind: 'schema', statements }]);
  if (former && copied.size + partly.size > 0) {
    // Or each change would look for its row through the whole table.
    for (const statements of lots(script.afterRows.filter(isPrimaryKey))) yield piece([{ kind: 'schema', statements }]);
    yield* broughtUp({ former, copied, partly, reading: first });
    yield piece([caughtUpMessage(at, 0)]);
  }
  const gaps = new Map(Array.from(partly, ([name, { done }]) => [name, gapsOf(done)] as const));
  const chunks = chunksOf(left, { extents, bytesMax: chunkBytes, ranges: gaps });
  const blocks = pumped<Rows | Message>(
    {
      produce: (give, both) =>
        copyChunks({ reading, chunks, cuts, extents, give: (one) => give(one, bytesOf(one)) }, both),
      bytesMax: aheadBytesMax,
      takeBytesMax: blockBytes,
    },
    signal,
  );
  for await (const rows of blocks) yield piece(rows);
  for (const statements of lots(script.afterRows)) yield piece([{ kind: 'schema', statements }]);
  yield piece([], at);
}

/** The tables of which a part is copied, and the rest can be: same table, same pages. Keeps them from being rewritten from here on:
 *  what VACUUM FULL moves would be copied twice, or never. */
async function partlyCopied(
  reading: Connection,
  tables: readonly Table[],
  { tables: before, copied, parts }: Opening,
): Promise<ReadonlyMap<string, Parts>> {
  const begun = tables.filter((table) => parts.has(tableName(table)) && !copied.includes(tableName(table)));
  for (const table of begun) await reading.rows(`LOCK TABLE ONLY ${quoteTable(table)} IN ACCESS SHARE MODE`);
  const extents = await extentsOf(reading);
  const now = fingerprintsOf(begun, extents);
  const same = begun.map((table) => tableName(table)).filter((name) => now.get(name) === before.get(name));
  return new Map(
    same.flatMap((name) => {
      const of = parts.get(name);
      const extent = extents.get(name);
      return of && extent?.isKeyed && extent.file === of.file ? [[name, of] as const] : [];
    }),
  );
}

const isPrimaryKey = ({ sql }: SchemaStatement): boolean => /^ALTER TABLE .* ADD CONSTRAINT .* PRIMARY KEY/s.test(sql);

interface BringingUp {
  readonly former: Former;
  readonly copied: ReadonlySet<string>;
  readonly partly: ReadonlyMap<string, Parts>;
  /** Sees the snapshot. */
  readonly reading: Connection;
}

/** Each change once: what a run that was interrupted told already is left out, also of a transaction that it was in the middle of. */
async function* broughtUp({ former, copied, partly, reading }: BringingUp): AsyncGenerator<Batch> {
  const isPartly = (table: Table): boolean => partly.has(tableName(table));
  let { at, changes: told } = former.opening;
  let count = 0;
  for await (const { changes, end } of former.caughtUp((table) => copied.has(tableName(table)) || isPartly(table))) {
    const news = await filled(reading, changes.slice(told), isPartly);
    told = Math.max(0, told - changes.length);
    count = end ? 0 : count + changes.length;
    at = end ?? at;
    if (news.length > 0) yield piece([...news, caughtUpMessage(at, count)]);
  }
}

const fingerprintsOf = (tables: readonly Table[], extents: ReadonlyMap<string, Extent>): ReadonlyMap<string, string> =>
  new Map(
    tables.map((table) => [tableName(table), fingerprint(extents.get(tableName(table))?.oid ?? '', table)] as const),
  );

/** Whether one can go on from there: not where a table that is copied is gone or another by now, because what the stream says of it
 *  would not fit. */
export async function isFit(
  { tables, copied }: Opening,
  { reading: [first], wanted }: SnapshotOptions,
): Promise<boolean> {
  const now = fingerprintsOf(await replicatedTables(first, wanted), await extentsOf(first));
  return copied.every((name) => tables.has(name) && now.get(name) === tables.get(name));
}

type Give = (one: Rows | Message) => Promise<void>;

interface Copying {
  readonly reading: readonly Connection[];
  readonly chunks: readonly Chunk[];
  /** By their tables. */
  readonly cuts: ReadonlyMap<Table, Cut>;
  readonly extents: ReadonlyMap<string, Extent>;
  readonly give: Give;
}

/** Every connection takes the next chunk that nobody has, until there is none. When one fails, the others end with their chunks. */
async function copyChunks({ reading, chunks, cuts, extents, give }: Copying, signal: AbortSignal): Promise<void> {
  const failed = new AbortController();
  const left = chunks.values();
  const parts = new Map<Table, number>();
  for (const { table } of chunks) parts.set(table, 1 + (parts.get(table) ?? 0));
  const progress = { rows: 0, bytes: 0, bytesAll: chunks.reduce((sum, { bytes }) => sum + bytes, 0) };
  const tell = (): void => publish('changeover:copying', { ...progress });
  tell();
  const copy = async (connection: Connection): Promise<void> => {
    const wire = new Wire(connection);
    for (const chunk of left) {
      if (signal.aborted || failed.signal.aborted) return;
      await copyOut(wire, chunk, {
        cut: cuts.get(chunk.table),
        async give(rows) {
          await give(rows);
          progress.rows += rows.count;
        },
      });
      const partsLeft = (parts.get(chunk.table) ?? 0) - 1;
      parts.set(chunk.table, partsLeft);
      // Behind all of its rows, whoever read them: what waits for the broker waits in one queue.
      const extent = extents.get(tableName(chunk.table));
      if (partsLeft === 0) await give(copiedMessage(chunk.table));
      else if (extent?.isKeyed && chunk.table.identity === 'key')
        await give(partMessage(chunk.table, extent.file, chunk));
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

interface Copied {
  readonly cut: Cut | undefined;
  readonly give: (rows: Rows) => Promise<void>;
}

/** Hands over a chunk's rows in blocks of whole rows: COPY sends each row as one frame.
 *  https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY */
export async function copyOut(wire: Wire, chunk: Chunk, { cut, give }: Copied): Promise<void> {
  const { table } = chunk;
  await wire.send(query(copySql({ ...chunk, rows: cut?.rows })));
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
    for (const { type, body: sent } of wire.checked(await wire.take(), `Copying ${tableName(table)}`)) {
      if (type === COPY_DATA) {
        const body = cut?.line ? cut.line(sent) : sent;
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
