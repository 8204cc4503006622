import type { RowChange, Truncate } from '../../change/change.ts';
import type { PlacedRow } from '../../change/packing.ts';
import { NULL, TEXT, UNCHANGED } from '../../change/row.ts';
import type { Identity, Table } from '../../change/table.ts';
import { type Lsn, lsn } from '../../engine/postgres/lsn.ts';
import { assert, ChangeoverError } from '../../error.ts';

/* The messages of pgoutput, protocol version 1: bytes in, words of the domain out. Pure. What version 2 adds is `streamed.ts`'s.
   https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html */

export interface Begin {
  readonly kind: 'begin';
  readonly transaction: bigint;
}

export interface CommitRecord {
  readonly kind: 'committed';
  /** End of the commit record: the position to acknowledge and to resume from. */
  readonly end: Lsn;
  readonly committedAtUs: bigint;
}

/** A table's shape. Valid for the changes that follow on this connection, until the next one of the same `oid`. */
export interface Relation {
  readonly kind: 'relation';
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly identity: Identity;
  readonly columns: readonly {
    readonly name: string;
    readonly key: boolean;
    readonly typeOid: number;
    readonly typmod: number;
  }[];
}

export interface LogicalMessage {
  readonly kind: 'logical message';
  /** False: emitted outside the transactional order; it belongs to no transaction. */
  readonly transactional: boolean;
  readonly prefix: string;
  readonly content: Buffer;
}

/** The name of a type that is not built in, before the first table that has it. */
export interface TypeName {
  readonly kind: 'type';
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
}

/** What tells us nothing that we keep: the origin of a transaction. */
export interface Nothing {
  readonly kind: 'nothing';
}

export type Decoded = Begin | CommitRecord | Relation | TypeName | LogicalMessage | Nothing | RowChange | Truncate;

/** Gives the table that a relation's OID stands for on this connection. */
export type TableOf = (oid: number) => Table | undefined;

/** Microseconds from 1970 to 2000, where PostgreSQL's clock starts. */
export const epochShiftUs = 946_684_800_000_000n;

const nothing: Nothing = { kind: 'nothing' };

/** Decodes one message, from `at` to `end`. The rows are slices of `bytes`. Throws SOURCE_PROTOCOL for anything
 *  unknown, cut short or too long: nothing is skipped that we do not understand (invariant 5). */
export function decodeMessage(bytes: Buffer, at: number, end: number, tableOf: TableOf): Decoded {
  if (isRow(bytes[at])) {
    const row = new RowMessage();
    row.read(bytes, at, end, tableOf);
    return row.change();
  }
  try {
    return decode(bytes, at, end, tableOf);
  } catch (error) {
    throw asProtocolFailure(error);
  }
}

const asProtocolFailure = (error: unknown): unknown =>
  error instanceof RangeError ? protocolFailure('a message that ends too early', error) : error;

const INSERT = 0x49; // I
const UPDATE = 0x55; // U
const DELETE = 0x44; // D
const NEW = 0x4e; // N
const KEY = 0x4b; // K
const OLD = 0x4f; // O

const isRow = (letter: number | undefined): boolean => letter === INSERT || letter === UPDATE || letter === DELETE;
const none = Buffer.alloc(0);

/** The row change that a message holds, in its place there. One serves for message after message. */
export class RowMessage implements PlacedRow {
  kind: RowChange['kind'] = 'insert';
  bytes: Buffer = none;
  at = 0;
  end = 0;
  beforeAt = -1;
  beforeEnd = -1;
  #table: Table | undefined;

  get table(): Table {
    assert(this.#table !== undefined, 'A row change of no table');
    return this.#table;
  }

  /** False: the message is of another kind. Throws as `decodeMessage`. */
  read(bytes: Buffer, at: number, end: number, tableOf: TableOf): boolean {
    if (!isRow(bytes[at])) return false;
    try {
      this.#place(bytes, at, end, tableOf);
    } catch (error) {
      throw asProtocolFailure(error);
    }
    return true;
  }

  #place(bytes: Buffer, start: number, end: number, tableOf: TableOf): void {
    const letter = bytes[start];
    const table = known(tableOf, bytes.readUInt32BE(start + 1));
    this.kind = letter === INSERT ? 'insert' : letter === UPDATE ? 'update' : 'delete';
    this.#table = table;
    this.bytes = bytes;
    this.beforeAt = -1;
    this.beforeEnd = -1;
    let at = start + 5;
    if (letter === UPDATE && bytes[at] !== NEW) {
      expectOld(bytes, at);
      this.beforeAt = at + 1;
      this.beforeEnd = endOfRow(bytes, at + 1, table);
      at = this.beforeEnd;
    }
    if (letter === DELETE) expectOld(bytes, at);
    else expectNew(bytes, at);
    this.at = at + 1;
    this.end = endOfRow(bytes, at + 1, table);
    expectEnd(this.end, end);
  }

  /** As an object of its own; its rows are slices of `bytes`. */
  change(): RowChange {
    const { kind, table, bytes, at, end, beforeAt, beforeEnd } = this;
    const row = bytes.subarray(at, end);
    if (kind === 'insert') return { kind, table, after: row };
    if (kind === 'delete') return { kind, table, before: row };
    return { kind, table, before: beforeAt < 0 ? undefined : bytes.subarray(beforeAt, beforeEnd), after: row };
  }
}

function decode(bytes: Buffer, at: number, end: number, tableOf: TableOf): Decoded {
  const type = String.fromCharCode(bytes.readUInt8(at));
  switch (type) {
    case 'B':
      expectEnd(at + 21, end);
      return { kind: 'begin', transaction: BigInt(bytes.readUInt32BE(at + 17)) };
    case 'C':
      expectEnd(at + 26, end);
      return {
        kind: 'committed',
        end: lsn(bytes.readBigUInt64BE(at + 10)),
        committedAtUs: bytes.readBigInt64BE(at + 18) + epochShiftUs,
      };
    case 'R':
      return relation(bytes, at, end);
    case 'T': {
      const count = bytes.readUInt32BE(at + 1);
      const options = bytes.readUInt8(at + 5);
      expectEnd(at + 6 + 4 * count, end);
      const tables = Array.from({ length: count }, (_, index) =>
        known(tableOf, bytes.readUInt32BE(at + 6 + 4 * index)),
      );
      return { kind: 'truncate', tables, cascade: (options & 1) !== 0, restartIdentity: (options & 2) !== 0 };
    }
    case 'M': {
      const [prefix, behind] = text(bytes, at + 10);
      expectEnd(behind + 4 + bytes.readUInt32BE(behind), end);
      const transactional = (bytes.readUInt8(at + 1) & 1) !== 0;
      return { kind: 'logical message', transactional, prefix, content: bytes.subarray(behind + 4, end) };
    }
    case 'Y': {
      const [schema, nameAt] = text(bytes, at + 5);
      const [name, behind] = text(bytes, nameAt);
      expectEnd(behind, end);
      return { kind: 'type', oid: bytes.readUInt32BE(at + 1), schema, name };
    }
    case 'O':
      return nothing;
    default:
      throw protocolFailure(`a message of type ${JSON.stringify(type)}`);
  }
}

/** Where the row ends: the door at which every cell is looked at once, so that nobody behind it needs to doubt a row. */
function endOfRow(bytes: Buffer, at: number, table: Table): number {
  const count = bytes.readUInt16BE(at);
  if (count !== table.columns.length) {
    throw protocolFailure(`a row of ${count} cells for a table of ${table.columns.length} columns`);
  }
  let end = at + 2;
  for (let left = count; left > 0; left -= 1) {
    const kind = bytes[end];
    if (kind === TEXT) end += 5 + bytes.readUInt32BE(end + 1);
    else if (kind === NULL || kind === UNCHANGED) end += 1;
    else
      throw protocolFailure(
        `a cell of kind ${kind === undefined ? 'nothing' : JSON.stringify(String.fromCharCode(kind))}`,
      );
  }
  return end;
}

function relation(bytes: Buffer, at: number, end: number): Relation {
  const oid = bytes.readUInt32BE(at + 1);
  const [schema, nameAt] = text(bytes, at + 5);
  const [name, identityAt] = text(bytes, nameAt);
  const replica = String.fromCharCode(bytes[identityAt] ?? 0);
  let next = identityAt + 3;
  const columns = Array.from({ length: bytes.readUInt16BE(identityAt + 1) }, () => {
    const flags = bytes.readUInt8(next);
    const [columnName, behind] = text(bytes, next + 1);
    next = behind + 8;
    return {
      name: columnName,
      key: (flags & 1) !== 0,
      typeOid: bytes.readUInt32BE(behind),
      typmod: bytes.readInt32BE(behind + 4),
    };
  });
  expectEnd(next, end);
  const hasKey = columns.some((column) => column.key);
  const identity = replica === 'f' ? 'full' : hasKey ? 'key' : 'none';
  // An empty namespace stands for pg_catalog.
  return { kind: 'relation', oid, schema: schema || 'pg_catalog', name, identity, columns };
}

/** A text ended by a zero byte, and the place behind it. */
function text(bytes: Buffer, at: number): readonly [string, number] {
  const end = bytes.indexOf(0, at);
  if (end < 0) throw protocolFailure('a text without an end');
  return [bytes.toString('utf8', at, end), end + 1];
}

function known(tableOf: TableOf, oid: number): Table {
  const table = tableOf(oid);
  if (!table) throw protocolFailure(`a change of relation ${oid}, which was never announced`);
  return table;
}

function expectNew(bytes: Buffer, at: number): void {
  if (bytes[at] !== NEW) throw misplaced(bytes[at], 'N');
}

function expectOld(bytes: Buffer, at: number): void {
  if (bytes[at] !== KEY && bytes[at] !== OLD) throw misplaced(bytes[at], 'KO');
}

const misplaced = (found: number | undefined, letters: string): ChangeoverError =>
  protocolFailure(`${JSON.stringify(String.fromCharCode(found ?? 0))} where one of ${letters} belongs`);

function expectEnd(at: number, end: number): void {
  if (at !== end) throw protocolFailure(`a message whose parts end at byte ${at}, and which itself ends at ${end}`);
}

export const protocolFailure = (what: string, cause?: unknown): ChangeoverError =>
  new ChangeoverError('SOURCE_PROTOCOL', `The primary sent ${what}`, { cause });
