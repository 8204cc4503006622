/* The frames of PostgreSQL's frontend/backend protocol 3.0 that the data path speaks itself, after `pg` has logged in.
   https://www.postgresql.org/docs/current/protocol-message-formats.html
   A frame is a letter, a 32-bit length that counts itself, and a body. */

/** A frame of the server: its letter as a byte, and where its body lies, without the length. */
export class Frame {
  readonly type: number;
  readonly bytes: Buffer;
  readonly at: number;
  readonly end: number;

  constructor(type: number, bytes: Buffer, at: number, end: number) {
    this.type = type;
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** By itself: costs more than a look at where it lies. */
  get body(): Buffer {
    return this.bytes.subarray(this.at, this.end);
  }
}

export const BIND_COMPLETE = 0x32; // 2
export const PARSE_COMPLETE = 0x31; // 1
export const COMMAND_COMPLETE = 0x43; // C
export const COPY_BOTH_RESPONSE = 0x57; // W
export const COPY_DATA = 0x64; // d
export const COPY_DONE = 0x63; // c
export const COPY_IN_RESPONSE = 0x47; // G
export const COPY_OUT_RESPONSE = 0x48; // H
export const DATA_ROW = 0x44; // D
export const ERROR_RESPONSE = 0x45; // E
export const NO_DATA = 0x6e; // n
export const NOTICE_RESPONSE = 0x4e; // N
export const NOTIFICATION_RESPONSE = 0x41; // A
export const PARAMETER_STATUS = 0x53; // S
export const READY_FOR_QUERY = 0x5a; // Z

/** Frames that the server may send at any time and that mean nothing to us. */
export const isAside = (type: number): boolean =>
  type === NOTICE_RESPONSE || type === NOTIFICATION_RESPONSE || type === PARAMETER_STATUS;

/** Bodies longer than this are refused: PostgreSQL itself cannot make a message of 1 GiB or more (MaxAllocSize). */
export const bodyBytesMax = 0x3fff_ffff;

function frame(type: string, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(5 + length);
  bytes.write(type, 0, 'latin1');
  bytes.writeUInt32BE(4 + length, 1);
  return bytes;
}

export function query(sql: string): Buffer {
  const length = Buffer.byteLength(sql);
  const bytes = frame('Q', length + 1);
  bytes.write(sql, 5);
  bytes[5 + length] = 0;
  return bytes;
}

/** `types`: the OID of each parameter's type, 0 to let the server infer it. */
export function parse(name: string, sql: string, types: readonly number[]): Buffer {
  const nameLength = Buffer.byteLength(name);
  const sqlLength = Buffer.byteLength(sql);
  const bytes = frame('P', nameLength + sqlLength + 4 + 4 * types.length);
  let at = 5 + bytes.write(name, 5);
  bytes[at] = 0;
  at += 1 + bytes.write(sql, at + 1);
  bytes[at] = 0;
  at = bytes.writeUInt16BE(types.length, at + 1);
  for (const type of types) at = bytes.writeUInt32BE(type, at);
  return bytes;
}

/** Binds text parameters to a prepared statement and executes it, through the unnamed portal. */
export function bindAndExecute(name: string, values: readonly (Buffer | null)[]): Buffer {
  const nameLength = Buffer.byteLength(name);
  let length = nameLength + 8;
  for (const value of values) length += 4 + (value?.length ?? 0);
  // Bind, then Execute: letter, length, portal "", rows 0 = all.
  const bytes = Buffer.allocUnsafe(5 + length + 10);
  bytes.write('B', 0, 'latin1');
  bytes.writeUInt32BE(4 + length, 1);
  bytes[5] = 0;
  let at = 6 + bytes.write(name, 6);
  bytes[at] = 0;
  at = bytes.writeUInt16BE(0, at + 1); // no format codes: all text
  at = bytes.writeUInt16BE(values.length, at);
  for (const value of values) {
    at = bytes.writeInt32BE(value === null ? -1 : value.length, at);
    if (value) at += value.copy(bytes, at);
  }
  at = bytes.writeUInt16BE(0, at); // results as text
  bytes.write('E', at, 'latin1');
  bytes.writeUInt32BE(9, at + 1);
  bytes[at + 5] = 0;
  bytes.writeUInt32BE(0, at + 6);
  return bytes;
}

export const sync = (): Buffer => frame('S', 0);
export const copyDone = (): Buffer => frame('c', 0);

/** The five bytes before a CopyData body of `length` bytes. */
export function copyDataHead(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(5);
  bytes[0] = COPY_DATA;
  bytes.writeUInt32BE(4 + length, 1);
  return bytes;
}

/** Standby status update, as one CopyData frame: `flushed` is what the server may forget. Microseconds count from 2000-01-01.
 *  https://www.postgresql.org/docs/current/protocol-replication.html */
export function standbyStatus(flushed: bigint, nowUs: bigint): Buffer {
  const bytes = frame('d', 34);
  bytes.write('r', 5, 'latin1');
  bytes.writeBigUInt64BE(flushed, 6);
  bytes.writeBigUInt64BE(flushed, 14);
  bytes.writeBigUInt64BE(flushed, 22);
  bytes.writeBigInt64BE(nowUs, 30);
  // Answer at once: so a silent line is told from a server that has nothing to say.
  bytes[38] = 1;
  return bytes;
}

/** Fields of an ErrorResponse by their letter: `C` the SQLSTATE, `M` the message.
 *  https://www.postgresql.org/docs/current/protocol-error-fields.html */
export function errorFields(body: Buffer): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  let at = 0;
  while (at < body.length && body[at] !== 0) {
    const end = body.indexOf(0, at + 1);
    fields.set(String.fromCharCode(body[at] ?? 0), body.toString('utf8', at + 1, end));
    at = end + 1;
  }
  return fields;
}

/** The number of rows in a CommandComplete body such as `UPDATE 3` or `INSERT 0 1`; 0 where it has none. */
export function rowCount(body: Buffer): number {
  let at = body.length - 2;
  let count = 0;
  for (let unit = 1; at >= 0; at -= 1, unit *= 10) {
    const digit = (body[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) break;
    count += digit * unit;
  }
  return count;
}
