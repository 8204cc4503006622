import type { RowList } from '../../change/net.ts';
import { cellEnd, NULL, type Row, TEXT } from '../../change/row.ts';
import { assert } from '../../error.ts';

/* Rows as the text format of COPY. Pure. https://www.postgresql.org/docs/current/sql-copy.html (Text Format) */

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
/** What a byte is written as behind a backslash; 0: as it is. A carriage return would pass for a line's end. */
const escapes = new Uint8Array(256);
escapes[BACKSLASH] = BACKSLASH;
escapes[TAB] = 0x74;
escapes[NEWLINE] = 0x6e;
escapes[0x0d] = 0x72;
const special = [BACKSLASH, TAB, NEWLINE, 0x0d];
/** Of longer rows it is counted what they need: room for twice as much would be most of what we hold. */
const countedBytes = 16 * 1024;
/** Longer values are looked through by the machine's own instructions. */
const longBytes = 256;

const chunkBytes = 256 * 1024;

/** The rows as lines, in chunks of about 256 KiB, whole lines each, and no more room than the rows need: the texts of thousands of tables
 *  lie here at the same time. `prefix` begins each line as it stands: cells of ours, each ended by a tab. `columns`: which cells of a row to
 *  write, ascending. An unchanged cell is written as null: the caller must not use it. */
export function* copyText(rows: RowList, prefix: string, columns: readonly number[]): Generator<Buffer> {
  // Every byte of a row may become two (one of a value behind a backslash, a null's letter as \N), and a tab follows every cell.
  const mostOf = (index: number): number => {
    const [start, end] = [rows.starts[index] ?? 0, rows.ends[index] ?? 0];
    const doubled = end - start > countedBytes ? specialIn(rows.bytes[index]?.subarray(start, end)) : end - start;
    return prefix.length + end - start + doubled + columns.length;
  };
  let left = 0;
  for (let index = 0; index < rows.length; index += 1) left += mostOf(index);
  let chunk = Buffer.alloc(0);
  let at = 0;
  for (const [index, bytes] of rows.bytes.entries()) {
    const most = mostOf(index);
    if (at + most > chunk.length) {
      if (at > 0) yield chunk.subarray(0, at);
      chunk = Buffer.allocUnsafe(Math.max(Math.min(chunkBytes, left), most));
      at = 0;
    }
    left -= most;
    if (prefix !== '') at += chunk.write(prefix, at, 'latin1');
    at = writeCells(chunk, at, bytes, rows.starts[index] ?? 0, columns);
    chunk[at - 1] = NEWLINE;
  }
  if (at > 0) yield chunk.subarray(0, at);
}

/** Writes the cells of the row that begins at `rowStart`, a tab behind each; returns where it ended. */
// Five positional parameters here and below: called per row and per cell, and an object for each is what the whole path avoids.
function writeCells(chunk: Buffer, start: number, row: Buffer, rowStart: number, columns: readonly number[]): number {
  let at = start;
  let from = rowStart + 2;
  let column = 0;
  for (const wanted of columns) {
    for (; column < wanted; column += 1) from = cellEnd(row, from);
    const end = cellEnd(row, from);
    if (row[from] === TEXT) {
      at = writeEscaped(chunk, at, row, from + 5, end);
    } else {
      chunk[at] = BACKSLASH;
      chunk[at + 1] = 0x4e;
      at += 2;
    }
    chunk[at] = TAB;
    at += 1;
    from = end;
    column += 1;
  }
  // A table of no columns still has a line for each row; its line's end takes this place.
  return columns.length === 0 && at === start ? at + 1 : at;
}

function writeEscaped(chunk: Buffer, start: number, row: Row, from: number, end: number): number {
  return end - from > longBytes
    ? writeLong(chunk, start, row.subarray(from, end))
    : writeShort(chunk, start, row, from, end);
}

function writeShort(chunk: Buffer, start: number, row: Row, from: number, end: number): number {
  let at = start;
  for (let index = from; index < end; index += 1) {
    const byte = row[index] ?? 0;
    const escape = escapes[byte] ?? 0;
    if (escape === 0) {
      chunk[at] = byte;
      at += 1;
    } else {
      chunk[at] = BACKSLASH;
      chunk[at + 1] = escape;
      at += 2;
    }
  }
  return at;
}

/** The same, by stretches without a byte to escape: to find and to copy one is work for the machine's own instructions. Where they are short,
 *  byte by byte for a while. */
function writeLong(chunk: Buffer, start: number, value: Buffer): number {
  const next = special.map((byte) => placeOf(value, byte, 0));
  let at = start;
  let from = 0;
  while (from < value.length) {
    // What is not there is not looked for again.
    for (const [index, byte] of special.entries())
      if ((next[index] ?? 0) < from) next[index] = placeOf(value, byte, from);
    const plain = Math.min(...next);
    if (plain - from > longBytes) {
      at += value.copy(chunk, at, from, plain);
      from = plain;
    }
    const end = Math.min(from + longBytes, value.length);
    at = writeShort(chunk, at, value, from, end);
    from = end;
  }
  return at;
}

/** How many of its bytes may have to be escaped: those of its lengths count too, and a letter of a null for each of its cells at the most. */
function specialIn(row: Row = Buffer.alloc(0)): number {
  let count = row.readUInt16BE(0);
  for (const byte of special)
    for (let place = row.indexOf(byte); place >= 0; place = row.indexOf(byte, place + 1)) count += 1;
  return count;
}

/** Of the first such byte from `from` on; the end, if there is none. */
function placeOf(value: Buffer, byte: number, from: number): number {
  const place = value.indexOf(byte, from);
  return place < 0 ? value.length : place;
}

/** The cells of `columns`, ascending, as parameters. An unchanged cell may not be asked for. */
export function parameters(row: Row, columns: readonly number[]): (Buffer | null)[] {
  const values: (Buffer | null)[] = [];
  let from = 2;
  let column = 0;
  for (const wanted of columns) {
    for (; column < wanted; column += 1) from = cellEnd(row, from);
    const end = cellEnd(row, from);
    const kind = row[from];
    assert(kind === TEXT || kind === NULL, 'An unchanged cell has no value to write');
    values.push(kind === TEXT ? row.subarray(from + 5, end) : null);
    from = end;
    column += 1;
  }
  return values;
}
