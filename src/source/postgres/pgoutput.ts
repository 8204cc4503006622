import type { RowChange, Truncate } from '../../change/change.ts';
import { NULL, TEXT, UNCHANGED } from '../../change/row.ts';
import type { Identity, Table } from '../../change/table.ts';
import { type Lsn, lsn } from '../../engine/postgres/lsn.ts';
import { ChangeoverError } from '../../error.ts';

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

/** Decodes one message, from `at` to the end of `bytes`. The rows are slices of `bytes`. Throws SOURCE_PROTOCOL for anything
 *  unknown, cut short or too long: nothing is skipped that we do not understand (invariant 5). */
export function decodeMessage(bytes: Buffer, at: number, tableOf: TableOf): Decoded {
  try {
    return decode(bytes, at, tableOf);
  } catch (cause) {
    if (cause instanceof RangeError) throw protocolFailure('a message that ends too early', cause);
    throw cause;
  }
}

function decode(bytes: Buffer, at: number, tableOf: TableOf): Decoded {
  const type = String.fromCharCode(bytes.readUInt8(at));
  switch (type) {
    case 'I': {
      const table = known(tableOf, bytes.readUInt32BE(at + 1));
      expectLetter(bytes, at + 5, 'N');
      return { kind: 'insert', table, after: lastRow(bytes, at + 6, table) };
    }
    case 'U':
      return update(bytes, at, tableOf);
    case 'D': {
      const table = known(tableOf, bytes.readUInt32BE(at + 1));
      expectLetter(bytes, at + 5, 'KO');
      return { kind: 'delete', table, before: lastRow(bytes, at + 6, table) };
    }
    case 'B':
      expectEnd(bytes, at + 21);
      return { kind: 'begin', transaction: BigInt(bytes.readUInt32BE(at + 17)) };
    case 'C':
      expectEnd(bytes, at + 26);
      return {
        kind: 'committed',
        end: lsn(bytes.readBigUInt64BE(at + 10)),
        committedAtUs: bytes.readBigInt64BE(at + 18) + epochShiftUs,
      };
    case 'R':
      return relation(bytes, at);
    case 'T': {
      const count = bytes.readUInt32BE(at + 1);
      const options = bytes.readUInt8(at + 5);
      expectEnd(bytes, at + 6 + 4 * count);
      const tables = Array.from({ length: count }, (_, index) =>
        known(tableOf, bytes.readUInt32BE(at + 6 + 4 * index)),
      );
      return { kind: 'truncate', tables, cascade: (options & 1) !== 0, restartIdentity: (options & 2) !== 0 };
    }
    case 'M': {
      const [prefix, behind] = text(bytes, at + 10);
      const end = behind + 4 + bytes.readUInt32BE(behind);
      expectEnd(bytes, end);
      const transactional = (bytes.readUInt8(at + 1) & 1) !== 0;
      return { kind: 'logical message', transactional, prefix, content: bytes.subarray(behind + 4, end) };
    }
    case 'Y': {
      const [schema, nameAt] = text(bytes, at + 5);
      const [name, end] = text(bytes, nameAt);
      expectEnd(bytes, end);
      return { kind: 'type', oid: bytes.readUInt32BE(at + 1), schema, name };
    }
    case 'O':
      return nothing;
    default:
      throw protocolFailure(`a message of type ${JSON.stringify(type)}`);
  }
}

function update(bytes: Buffer, at: number, tableOf: TableOf): Decoded {
  const table = known(tableOf, bytes.readUInt32BE(at + 1));
  if (bytes[at + 5] === 0x4e) return { kind: 'update', table, before: undefined, after: lastRow(bytes, at + 6, table) };
  expectLetter(bytes, at + 5, 'KO');
  const end = endOfRow(bytes, at + 6, table);
  expectLetter(bytes, end, 'N');
  return { kind: 'update', table, before: bytes.subarray(at + 6, end), after: lastRow(bytes, end + 1, table) };
}

/** The row that a message ends with. */
function lastRow(bytes: Buffer, at: number, table: Table): Buffer {
  expectEnd(bytes, endOfRow(bytes, at, table));
  return bytes.subarray(at);
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

function relation(bytes: Buffer, at: number): Relation {
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
  expectEnd(bytes, next);
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

function expectLetter(bytes: Buffer, at: number, letters: string): void {
  const found = String.fromCharCode(bytes[at] ?? 0);
  if (!letters.includes(found)) throw protocolFailure(`${JSON.stringify(found)} where one of ${letters} belongs`);
}

function expectEnd(bytes: Buffer, at: number): void {
  if (at !== bytes.length) throw protocolFailure(`a message whose parts end at byte ${at} of ${bytes.length}`);
}

export const protocolFailure = (what: string, cause?: unknown): ChangeoverError =>
  new ChangeoverError('SOURCE_PROTOCOL', `The primary sent ${what}`, { cause });
