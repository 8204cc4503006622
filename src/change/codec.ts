import { assert, unreachable } from '../error.ts';
import { Reader, unreadable, Writer } from './bytes.ts';
import type { Batch, Change, Ddl, SequenceAt } from './change.ts';
import { decodeControl, encodeControl } from './control.ts';
import type { Key } from './key.ts';
import { kinds } from './kinds.ts';
import { type Packed, packedAt } from './packed.ts';
import type { Position } from './position.ts';
import type { Table } from './table.ts';

/* A batch as bytes. Big-endian; text is UTF-8. Golden files in test/golden prove that old bytes still read.

   batch    = version:u8=1 flags:u8 [after:position] [end:position] tables changes
   flags    = 1 starts | 2 has after | 4 has end
   position = origin:text order:u64 token:text
   tables   = count:u32 { length:u32 table }            a table is named by its place in this list
   table    = schema:text name:text identity:u8 count:u16 { name:text type:text key:u8 }
   changes  = count:u32 { change }
   change   = 1 table:u32 after:bytes                                      insert
            | 2 table:u32 has-before:u8 [before:bytes] after:bytes         update
            | 3 table:u32 before:bytes                                     delete
            | 4 options:u8 count:u32 { table:u32 }                         truncate (1 cascade, 2 restart identity)
            | 5 prefix:text content:bytes                                  message
            | 6 transaction:u64 position committed-at-us:i64               commit
            | 7 count:u32 { table:u32 }                                    snapshot
            | 8 count:u32 { object:bytes sql:bytes }                       schema
            | 9 table:u32 count:u32 block:bytes                            rows
            | 10 bytes                                                     ddl, as JSON
            | 11 table:u32 position after:key up-to:key                    clear
            | 12 bytes                                                     control, as JSON: control.ts
            | 13 bytes                                                     sealed
            | 14 bytes                                                     the values of sequences, as JSON
   key      = count:u16 { bytes }                       0: none
   text     = length:u16 bytes        bytes = length:u32 bytes                                                       */

const version = 1;
const identities = ['key', 'full', 'none'] as const;
/** Writes into one buffer, once: a copy of a batch is megabytes, and the next one comes before the collector does. */
export function encodeBatch(batch: Batch): Buffer {
  if (batch.packed) return batch.packed.bytes;
  const tables = tablesOf(batch.changes);
  const headBytes = tables.keys().reduce((sum, table) => sum + 4 + encodedTable(table).length, 512);
  const writer = new Writer(batch.changes.reduce((sum, change) => sum + bytesOf(change), headBytes));
  writeHead(writer, batch, { tables, count: batch.changes.length });
  const placeOf = (table: Table): number => {
    const place = tables.get(table);
    assert(place !== undefined, 'A table without a place');
    return place;
  };
  for (const change of batch.changes) writeChange(writer, change, placeOf);
  return writer.end();
}

/** All that stands before the first of `count` changes. */
export function writeHead(
  writer: Writer,
  { starts, after, end }: Omit<Batch, 'changes'>,
  { tables, count }: { readonly tables: ReadonlyMap<Table, number>; readonly count: number },
): void {
  writer.u8(version);
  writer.u8((starts ? 1 : 0) | (after ? 2 : 0) | (end ? 4 : 0));
  if (after) writePosition(writer, after);
  if (end) writePosition(writer, end);
  writer.u32(tables.size);
  for (const table of tables.keys()) writer.bytes(encodedTable(table));
  writer.u32(count);
}

/** The tables that the changes name, each with its place. */
function tablesOf(changes: readonly Change[]): ReadonlyMap<Table, number> {
  const places = new Map<Table, number>();
  for (const change of changes) {
    if ('table' in change) {
      if (!places.has(change.table)) places.set(change.table, places.size);
    } else if ('tables' in change) {
      for (const table of change.tables) if (!places.has(table)) places.set(table, places.size);
    }
  }
  return places;
}

/** Bytes that a batch takes, near enough for limits. */
export const batchBytes = (batch: Batch): number =>
  batch.packed?.bytes.length ?? batch.changes.reduce((sum, change) => sum + bytesOf(change), 0);

/** Bytes that a change takes, near enough for limits and first allocations. */
export function bytesOf(change: Change): number {
  switch (change.kind) {
    case 'insert':
      return 24 + change.after.length;
    case 'update':
      return 32 + change.after.length + (change.before?.length ?? 0);
    case 'delete':
      return 24 + change.before.length;
    case 'message':
      return 32 + change.content.length + change.prefix.length;
    case 'schema':
      return change.statements.reduce((sum, { object, sql }) => sum + 16 + object.length + sql.length, 32);
    case 'rows':
      return 32 + change.block.length;
    case 'ddl':
      return 32 + ddlBytes(change).length;
    case 'clear':
      return 80 + [...(change.after ?? []), ...(change.upTo ?? [])].join('').length;
    case 'control':
      return 32 + encodeControl(change.event).length;
    case 'sealed':
      return 8 + change.envelope.length;
    case 'sequences':
      return change.values.reduce((sum, { schema, name }) => sum + 80 + schema.length + name.length, 32);
    case 'truncate':
    case 'snapshot':
      return 32 + 4 * change.tables.length;
    case 'commit':
      return 80;
    default:
      return unreachable(change);
  }
}

/** `placeOf`: the table's place in the list of the head. */
export function writeChange(writer: Writer, change: Change, placeOf: (table: Table) => number): void {
  writer.u8(kinds[change.kind]);
  switch (change.kind) {
    case 'insert':
      writer.u32(placeOf(change.table));
      writer.bytes(change.after);
      return;
    case 'update':
      writer.u32(placeOf(change.table));
      writer.u8(change.before ? 1 : 0);
      if (change.before) writer.bytes(change.before);
      writer.bytes(change.after);
      return;
    case 'delete':
      writer.u32(placeOf(change.table));
      writer.bytes(change.before);
      return;
    case 'truncate':
      writer.u8((change.cascade ? 1 : 0) | (change.restartIdentity ? 2 : 0));
      writer.u32(change.tables.length);
      for (const table of change.tables) writer.u32(placeOf(table));
      return;
    case 'message':
      writer.text(change.prefix);
      writer.bytes(change.content);
      return;
    case 'commit':
      writer.u64(change.transaction);
      writePosition(writer, change.position);
      writer.u64(change.committedAtUs);
      return;
    case 'snapshot':
      writer.u32(change.tables.length);
      for (const table of change.tables) writer.u32(placeOf(table));
      return;
    case 'schema':
      writer.u32(change.statements.length);
      for (const { object, sql } of change.statements) {
        writer.bytes(Buffer.from(object));
        writer.bytes(Buffer.from(sql));
      }
      return;
    case 'ddl':
      writer.bytes(ddlBytes(change));
      return;
    case 'clear':
      writer.u32(placeOf(change.table));
      writePosition(writer, change.at);
      writeKey(writer, change.after);
      writeKey(writer, change.upTo);
      return;
    case 'control':
      writer.bytes(encodeControl(change.event));
      return;
    case 'sealed':
      writer.bytes(change.envelope);
      return;
    case 'sequences':
      writer.bytes(Buffer.from(JSON.stringify(change.values)));
      return;
    case 'rows':
      writer.u32(placeOf(change.table));
      writer.u32(change.count);
      writer.bytes(change.block);
      return;
    default:
      unreachable(change);
  }
}

/** JSON: there are few of them, and more will be known of each. */
const ddlBytes = (change: Ddl): Buffer => Buffer.from(JSON.stringify({ ...change, kind: undefined }));

function readDdl(bytes: Buffer): Ddl {
  const { refusal, ...rest } = JSON.parse(bytes.toString()) as Omit<Ddl, 'kind'>;
  return { kind: 'ddl', ...rest, refusal };
}

function writePosition(writer: Writer, position: Position): void {
  writer.text(position.origin);
  writer.u64(position.order);
  writer.text(position.token);
}

function writeKey(writer: Writer, key: Key = []): void {
  writer.u16(key.length);
  for (const text of key) writer.bytes(Buffer.from(text));
}

function readKey(reader: Reader): Key | undefined {
  const key = Array.from({ length: reader.u16() }, () => reader.bytes().toString());
  return key.length === 0 ? undefined : key;
}

const encodedTables = new WeakMap<Table, Buffer>();

function encodedTable(table: Table): Buffer {
  const known = encodedTables.get(table);
  if (known) return known;
  const writer = new Writer(256);
  writer.text(table.schema);
  writer.text(table.name);
  writer.u8(identities.indexOf(table.identity));
  writer.u16(table.columns.length);
  for (const column of table.columns) {
    writer.text(column.name);
    writer.text(column.type);
    writer.u8(column.key ? 1 : 0);
  }
  const bytes = writer.end();
  encodedTables.set(table, bytes);
  return bytes;
}

/** Throws BROKER_CORRUPT for anything that `encodeBatch` of this or an earlier version did not write. The batch holds slices of
 *  `bytes`, which must not be written to afterwards. */
export function decodeBatch(bytes: Buffer): Batch {
  const reader = new Reader(bytes);
  const found = reader.u8();
  if (found !== version) throw unreadable(`it has format version ${found}, this program reads ${version}`);
  const flags = reader.u8();
  if (flags > 7) throw unreadable(`unknown flags ${flags}`);
  const after = flags & 2 ? readPosition(reader) : undefined;
  const end = flags & 4 ? readPosition(reader) : undefined;
  const tables: Table[] = [];
  for (let left = reader.u32(); left > 0; left -= 1) tables.push(decodedTable(reader.bytes()));
  const tableAt = (): Table => {
    const place = reader.u32();
    const table = tables[place];
    if (!table) throw unreadable(`it names table ${place} of ${tables.length}`);
    return table;
  };
  const count = reader.u32();
  const readChanges = (): readonly Change[] => {
    const changes: Change[] = [];
    for (let left = count; left > 0; left -= 1) changes.push(readChange(reader, tableAt));
    if (!reader.ended) throw unreadable('bytes are left over');
    return changes;
  };
  const ends = { after, starts: (flags & 1) === 1, end };
  const packed = packedAt(bytes, reader.at, count, tables);
  return packed ? packedBatch(ends, packed, readChanges) : { ...ends, changes: readChanges() };
}

/** Makes objects of its changes for whoever asks for them. */
function packedBatch(ends: Omit<Batch, 'changes'>, packed: Packed, readChanges: () => readonly Change[]): Batch {
  let made: readonly Change[] | undefined;
  const batch: Batch = {
    ...ends,
    get changes() {
      made ??= readChanges();
      return made;
    },
  };
  // Not to be seen: a batch is the same however it came.
  return Object.defineProperty(batch, 'packed', { value: packed, enumerable: false });
}

function readChange(reader: Reader, tableAt: () => Table): Change {
  const kind = reader.u8();
  switch (kind) {
    case kinds.insert:
      return { kind: 'insert', table: tableAt(), after: reader.bytes() };
    case kinds.update: {
      const table = tableAt();
      const before = reader.u8() === 1 ? reader.bytes() : undefined;
      return { kind: 'update', table, before, after: reader.bytes() };
    }
    case kinds.delete:
      return { kind: 'delete', table: tableAt(), before: reader.bytes() };
    case kinds.truncate: {
      const options = reader.u8();
      const tables = Array.from({ length: reader.u32() }, tableAt);
      return { kind: 'truncate', tables, cascade: (options & 1) === 1, restartIdentity: (options & 2) === 2 };
    }
    case kinds.message:
      return { kind: 'message', prefix: reader.text(), content: reader.bytes() };
    case kinds.commit:
      return {
        kind: 'commit',
        transaction: reader.u64(),
        position: readPosition(reader),
        committedAtUs: reader.i64(),
      };
    case kinds.snapshot:
      return { kind: 'snapshot', tables: Array.from({ length: reader.u32() }, tableAt) };
    case kinds.schema: {
      const statements = Array.from({ length: reader.u32() }, () => ({
        object: reader.bytes().toString(),
        sql: reader.bytes().toString(),
      }));
      return { kind: 'schema', statements };
    }
    case kinds.ddl:
      return readDdl(reader.bytes());
    case kinds.clear:
      return {
        kind: 'clear',
        table: tableAt(),
        at: readPosition(reader),
        after: readKey(reader),
        upTo: readKey(reader),
      };
    case kinds.control:
      return { kind: 'control', event: decodeControl(reader.bytes()) };
    case kinds.sealed:
      return { kind: 'sealed', envelope: reader.bytes() };
    case kinds.sequences:
      return { kind: 'sequences', values: JSON.parse(reader.bytes().toString()) as readonly SequenceAt[] };
    case kinds.rows:
      return { kind: 'rows', table: tableAt(), count: reader.u32(), block: reader.bytes() };
    default:
      throw unreadable(`unknown kind of change ${kind}`);
  }
}

const readPosition = (reader: Reader): Position => ({
  origin: reader.text(),
  order: reader.u64(),
  token: reader.text(),
});

/** Tables decoded before, by their bytes: a table that did not change stays the same object from batch to batch, so that whoever
 *  prepares statements for it can keep them. Limited: a schema changes rarely, and starting over costs little. */
const decodedTables = new Map<string, Table>();
const decodedTablesMax = 20_000;

function decodedTable(bytes: Buffer): Table {
  const key = bytes.toString('latin1');
  const known = decodedTables.get(key);
  if (known) return known;
  const reader = new Reader(bytes);
  const schema = reader.text();
  const name = reader.text();
  const identity = identities[reader.u8()];
  if (!identity) throw unreadable('unknown kind of identity');
  const columns = Array.from({ length: reader.u16() }, () => ({
    name: reader.text(),
    type: reader.text(),
    key: reader.u8() === 1,
  }));
  if (!reader.ended) throw unreadable('bytes are left over behind a table');
  if (decodedTables.size >= decodedTablesMax) decodedTables.clear();
  const table = { schema, name, identity, columns };
  decodedTables.set(key, table);
  return table;
}
