import { crc32 } from 'node:zlib';
import { Reader, Writer } from '../change/bytes.ts';
import { type Epoch, epoch, type Offset, offset, type Position } from '../change/position.ts';
import { assert, ChangeoverError } from '../error.ts';

/* What a remote broker's server stores. Big-endian; text and bytes as in change/codec.ts.

   record   = 'cgr1' crc32:u32 kind:u8 stream:text term:u64 state rest          the checksum is of all behind it
   state    = next:u64 epoch:u32 (0: none) bytes:u64 end                         as it is before the record
   end      = has:u8 [origin:text order:u64 token:text]
   claim    = 1, rest = writer:text                                              its state is a guess; that of the others is exact
   entries  = 2, rest = count:u32 { head payload:bytes }
   part     = 3, rest = index:u32 count:u32 whole:u64 head slice:bytes           of one entry that is too large for a record
   head     = epoch:u32 end                                                                                                       */

/** How far a stream is. */
export interface StreamState {
  readonly next: Offset;
  readonly epoch: Epoch | undefined;
  /** End of the last entry that has one. */
  readonly end: Position | undefined;
  /** Bytes of all payloads that ever were in the stream. */
  readonly bytes: number;
}

export const emptyState: StreamState = { next: offset(0), epoch: undefined, end: undefined, bytes: 0 };

/** An entry as it travels. */
export interface PackedEntry {
  readonly epoch: Epoch;
  readonly end: Position | undefined;
  readonly payload: Buffer;
}

interface RecordHead {
  readonly stream: string;
  /** Counts the writers: each begins with a claim that is one above all before it, and ends those before it. */
  readonly term: number;
  readonly before: StreamState;
}

export interface Claim extends RecordHead {
  readonly kind: 'claim';
  readonly writer: string;
}

/** Whole entries, from `before.next` on; none at the beginning of a term, where the record only says how far the stream is. */
export interface EntriesRecord extends RecordHead {
  readonly kind: 'entries';
  readonly entries: readonly PackedEntry[];
}

export interface Part extends RecordHead {
  readonly kind: 'part';
  readonly index: number;
  readonly count: number;
  /** Bytes of the whole payload. */
  readonly wholeBytes: number;
  readonly epoch: Epoch;
  readonly end: Position | undefined;
  readonly slice: Buffer;
}

export type StreamRecord = Claim | EntriesRecord | Part;

const magic = 0x63677231;
const headBytes = 8;
const kinds = { claim: 1, entries: 2, part: 3 } as const;

export const stateAfter = (
  before: StreamState,
  { epoch, end, bytes }: Omit<PackedEntry, 'payload'> & { bytes: number },
) => ({
  next: offset(before.next + 1),
  epoch,
  end: end ?? before.end,
  bytes: before.bytes + bytes,
});

export function encodeRecord(record: StreamRecord): Buffer {
  const writer = new Writer(1024 + payloadBytesOf(record));
  writer.u32(magic);
  writer.u32(0);
  writer.u8(kinds[record.kind]);
  writer.text(record.stream);
  writer.u64(BigInt(record.term));
  writeState(writer, record.before);
  if (record.kind === 'claim') writer.text(record.writer);
  else if (record.kind === 'entries') {
    writer.u32(record.entries.length);
    for (const entry of record.entries) {
      writer.u32(entry.epoch);
      writeEnd(writer, entry.end);
      writer.bytes(entry.payload);
    }
  } else {
    writer.u32(record.index);
    writer.u32(record.count);
    writer.u64(BigInt(record.wholeBytes));
    writer.u32(record.epoch);
    writeEnd(writer, record.end);
    writer.bytes(record.slice);
  }
  const bytes = writer.end();
  bytes.writeUInt32BE(crc32(bytes.subarray(headBytes)), 4);
  return bytes;
}

function payloadBytesOf(record: StreamRecord): number {
  if (record.kind === 'claim') return 0;
  if (record.kind === 'part') return record.slice.length + 512;
  return record.entries.reduce((sum, entry) => sum + entryBytesMax(entry), 0);
}

/** What an entry takes in a record, at the most. */
export const entryBytesMax = ({ end, payload }: PackedEntry): number => payload.length + 32 + endBytesMax(end);

/** What a record takes beside its entries, at the most. */
export const overheadBytesMax = (before: StreamState, end: Position | undefined): number =>
  256 + endBytesMax(before.end) + endBytesMax(end);

const endBytesMax = (end: Position | undefined): number =>
  end ? 16 + Buffer.byteLength(end.origin) + Buffer.byteLength(end.token) : 1;

/** Throws BROKER_CORRUPT for anything that `encodeRecord` did not write. The record holds slices of `bytes`. */
export function decodeRecord(bytes: Buffer, where: string): StreamRecord {
  if (bytes.length < headBytes || bytes.readUInt32BE(0) !== magic) throw corrupt(where, 'it is not ours');
  const body = bytes.subarray(headBytes);
  if (crc32(body) !== bytes.readUInt32BE(4)) throw corrupt(where, 'its bytes do not match their checksum');
  const reader = new Reader(body);
  const kind = reader.u8();
  const head = { stream: reader.text(), term: Number(reader.u64()), before: readState(reader) };
  const record = readRest(reader, kind, head);
  if (!record || !reader.ended) throw corrupt(where, `of kind ${kind}, it is not as this program writes it`);
  return record;
}

function readRest(reader: Reader, kind: number, head: RecordHead): StreamRecord | undefined {
  if (kind === kinds.claim) return { kind: 'claim', ...head, writer: reader.text() };
  if (kind === kinds.entries) {
    const entries = Array.from({ length: reader.u32() }, () => ({
      epoch: epoch(reader.u32()),
      end: readEnd(reader),
      payload: reader.bytes(),
    }));
    return { kind: 'entries', ...head, entries };
  }
  if (kind !== kinds.part) return undefined;
  return {
    kind: 'part',
    ...head,
    index: reader.u32(),
    count: reader.u32(),
    wholeBytes: Number(reader.u64()),
    epoch: epoch(reader.u32()),
    end: readEnd(reader),
    slice: reader.bytes(),
  };
}

export const corrupt = (where: string, why: string): ChangeoverError =>
  new ChangeoverError('BROKER_CORRUPT', `The record at ${where} is broken: ${why}`, {
    hint: 'Something other than Changeover wrote to this stream, or damaged it. Nothing from this record on was applied.',
  });

function writeState(writer: Writer, { next, epoch: leads, bytes, end }: StreamState): void {
  assert(bytes <= Number.MAX_SAFE_INTEGER, `A stream of ${bytes} bytes`);
  writer.u64(BigInt(next));
  writer.u32(leads ?? 0);
  writer.u64(BigInt(bytes));
  writeEnd(writer, end);
}

function readState(reader: Reader): StreamState {
  const next = offset(Number(reader.u64()));
  const found = reader.u32();
  const bytes = Number(reader.u64());
  return { next, epoch: found === 0 ? undefined : epoch(found), bytes, end: readEnd(reader) };
}

function writeEnd(writer: Writer, end: Position | undefined): void {
  writer.u8(end ? 1 : 0);
  if (!end) return;
  writer.text(end.origin);
  writer.u64(end.order);
  writer.text(end.token);
}

const readEnd = (reader: Reader): Position | undefined =>
  reader.u8() === 1 ? { origin: reader.text(), order: reader.u64(), token: reader.text() } : undefined;
