import { assert } from '../error.ts';

/** A row as bytes: a 16-bit count of cells, then per cell one letter: `n` null, `u` unchanged (a value that the source did not
 *  send), `t` followed by a 32-bit length and the source's own text. All numbers big-endian. It is the TupleData of
 *  PostgreSQL's pgoutput, taken over so that the hot path copies nothing:
 *  https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html */
export type Row = Buffer;

export const NULL = 0x6e;
export const UNCHANGED = 0x75;
export const TEXT = 0x74;

/** A cell taken out of a row: null, `unchanged`, or the source's text as bytes. */
export type Cell = Buffer | null | 'unchanged';

export const cellCount = (row: Row): number => row.readUInt16BE(0);

/** Where the cell that starts at `at` ends. The hot loops of the whole program step by this. */
export function cellEnd(row: Buffer, at: number): number {
  const kind = row[at];
  if (kind === TEXT) return at + 5 + row.readUInt32BE(at + 1);
  assert(kind === NULL || kind === UNCHANGED, `Unknown kind of cell: ${kind}`);
  return at + 1;
}

export function* cells(row: Row): Generator<Cell> {
  let at = 2;
  for (let left = cellCount(row); left > 0; left -= 1) {
    const end = cellEnd(row, at);
    const kind = row[at];
    yield kind === TEXT ? row.subarray(at + 5, end) : kind === NULL ? null : 'unchanged';
    at = end;
  }
}

export function rowOf(values: readonly Cell[]): Row {
  let length = 2;
  for (const value of values) length += Buffer.isBuffer(value) ? 5 + value.length : 1;
  const row = Buffer.allocUnsafe(length);
  let at = row.writeUInt16BE(values.length, 0);
  for (const value of values) {
    if (Buffer.isBuffer(value)) {
      at = row.writeUInt8(TEXT, at);
      at = row.writeUInt32BE(value.length, at);
      at += value.copy(row, at);
    } else {
      at = row.writeUInt8(value === null ? NULL : UNCHANGED, at);
    }
  }
  return row;
}

export const hasUnchanged = (row: Row): boolean => hasUnchangedAt(row, 0);

/** Of the row that begins at `start`. */
export function hasUnchangedAt(bytes: Buffer, start: number): boolean {
  let at = start + 2;
  for (let left = bytes.readUInt16BE(start); left > 0; left -= 1) {
    if (bytes[at] === UNCHANGED) return true;
    at = cellEnd(bytes, at);
  }
  return false;
}

/** `row` with each unchanged cell taken from `earlier`; a cell unchanged in both stays so. */
export function fillUnchanged(row: Row, earlier: Row): Row {
  if (!hasUnchanged(row)) return row;
  assert(cellCount(row) === cellCount(earlier), 'Two versions of a row differ in their number of cells');
  const before = [...cells(earlier)];
  return rowOf([...cells(row)].map((cell, index) => (cell === 'unchanged' ? (before[index] ?? null) : cell)));
}
