import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { Reader, Writer } from '../../change/bytes.ts';
import { type Epoch, epoch, type Offset, offset, type Position } from '../../change/position.ts';
import { assert } from '../../error.ts';

/* The bytes of the log. Big-endian; text is UTF-8. Golden files in test/golden prove that old bytes still read.

   segment   = "chgover1" framed(stream:text created-at-ms:u64 state) { entry }     the file <offset of its first entry>.segment
   end       = "chgend 1" framed(stream:text segment:u64 position:u64 state)        the file end: what lies before it is durable
   framed(x) = length:u32 crc:u32 x                                                 both of x
   state     = next:u64 epoch:u64 chain:bytes has-end:u8 [origin:text order:u64 token:text]
   entry     = mark:u32 crc:u32 length:u32 chain:32 offset:u64 epoch:u64 appended-at-ms:u64 durable:u64 flags:u8 payload
   flags     = 1 has end
   text      = length:u16 bytes        bytes = length:u32 bytes

   state        How the log stands before the next entry; epoch 0: no entry yet. Each segment opens with it, so that a start reads only
                the last segment, and a reader can check the chain from any segment on.
   crc          Of all behind it, started from the crc of the stream's id: bytes of another stream never pass for ours.
   length       Of the whole entry.
   chain        sha256(chain of the entry before, all behind this chain field). It crosses segments; the first is over 32 zeros.
   durable      Position in this file before which all was durable when this entry was written: a bad entry in front of it is damage,
                one that nothing points behind is a write that a crash cut short.
   payload      A batch in the form of change/codec.ts. end: the batch has one.                                                   */

const segmentMagic = Buffer.from('chgover1');
const endMagic = Buffer.from('chgend 1');
const mark = Buffer.from([0xc4, 0x0e, 0x17, 0x1e]);
const at = { crc: 4, length: 8, chain: 12, offset: 44, epoch: 52, appendedAt: 60, durable: 68, flags: 76, payload: 77 };

export const entryHeadBytes = at.payload;
/** Far above any batch that capture makes (its limit is in megabytes); low enough for one read() of the operating system (2 GiB). */
export const entryBytesMax = 1024 ** 3;
export const noChain: Buffer = Buffer.alloc(32);

/** How the log stands before the entry `next`. */
export interface LogState {
  readonly next: Offset;
  readonly epoch: Epoch | undefined;
  readonly chain: Buffer;
  /** End of the last entry that has one. */
  readonly end: Position | undefined;
}

export interface SegmentHead {
  readonly stream: string;
  /** A label: milliseconds since 1970 of the writer's clock. */
  readonly createdAtMs: number;
  readonly before: LogState;
}

/** Where the durable bytes end: `position` of the file of the segment that begins with the offset `segment`. */
export interface DurableEnd {
  readonly stream: string;
  readonly segment: Offset;
  readonly position: number;
  readonly state: LogState;
}

export interface EntryFields {
  readonly offset: Offset;
  readonly epoch: Epoch;
  readonly appendedAtMs: number;
  readonly durable: number;
  readonly hasEnd: boolean;
  readonly payload: Buffer;
}

export interface StoredEntry extends EntryFields {
  readonly chain: Buffer;
  /** All its bytes; `payload` and `chain` are slices of them. */
  readonly whole: Buffer;
}

/** What an entry is checked against besides itself. */
export interface Link {
  readonly next: Offset;
  readonly epoch: Epoch | undefined;
  readonly chain: Buffer;
}

export const linkAfter = (entry: StoredEntry): Link => ({
  next: offset(entry.offset + 1),
  epoch: entry.epoch,
  chain: entry.chain,
});

/** What checksums of a stream start from. */
export const crcSeed = (stream: string): number => crc32(Buffer.from(stream));

/** Writes an entry at `position` of `into` and returns its chain hash. */
export function writeEntry(into: Buffer, position: number, entry: EntryFields, previous: Buffer, seed: number): Buffer {
  const length = entryHeadBytes + entry.payload.length;
  assert(length <= entryBytesMax, `An entry of ${length} bytes, where at most ${entryBytesMax} fit`);
  const bytes = into.subarray(position, position + length);
  bytes.set(mark, 0);
  bytes.writeUInt32BE(length, at.length);
  writeUint64(bytes, entry.offset, at.offset);
  writeUint64(bytes, entry.epoch, at.epoch);
  writeUint64(bytes, entry.appendedAtMs, at.appendedAt);
  writeUint64(bytes, entry.durable, at.durable);
  bytes[at.flags] = entry.hasEnd ? 1 : 0;
  bytes.set(entry.payload, at.payload);
  const chain = chainHash(previous, bytes);
  bytes.set(chain, at.chain);
  bytes.writeUInt32BE(crc32(bytes.subarray(at.length), seed), at.crc);
  return chain;
}

export type Parsed =
  | { readonly kind: 'entry'; readonly entry: StoredEntry }
  /** More bytes are needed: this many from where the entry begins. */
  | { readonly kind: 'short'; readonly bytes: number }
  | { readonly kind: 'broken'; readonly why: string };

/** The entry at `position`, if its checksum holds. Whether it belongs there is asked of `misfit`. Its payload is a slice of `bytes`. */
export function parseEntry(bytes: Buffer, position: number, seed: number): Parsed {
  if (position + entryHeadBytes > bytes.length) return { kind: 'short', bytes: entryHeadBytes };
  if (mark.compare(bytes, position, position + mark.length) !== 0)
    return { kind: 'broken', why: 'no entry begins here' };
  const length = bytes.readUInt32BE(position + at.length);
  if (length < entryHeadBytes || length > entryBytesMax)
    return { kind: 'broken', why: `its length is ${length} bytes` };
  if (position + length > bytes.length) return { kind: 'short', bytes: length };
  const whole = bytes.subarray(position, position + length);
  const crc = whole.readUInt32BE(at.crc);
  if (crc32(whole.subarray(at.length), seed) !== crc) return { kind: 'broken', why: 'its checksum does not match' };
  const found = {
    offset: readUint64(whole, at.offset),
    epoch: readUint64(whole, at.epoch),
    appendedAtMs: readUint64(whole, at.appendedAt),
    durable: readUint64(whole, at.durable),
  };
  if (!Object.values(found).every(Number.isSafeInteger) || found.epoch < 1)
    return { kind: 'broken', why: 'its numbers make no sense' };
  const entry = {
    ...found,
    offset: offset(found.offset),
    epoch: epoch(found.epoch),
    hasEnd: (whole.readUInt8(at.flags) & 1) === 1,
    payload: whole.subarray(at.payload),
    chain: whole.subarray(at.chain, at.offset),
    whole,
  };
  return { kind: 'entry', entry };
}

/** Length of the entry at `position`, unchecked; undefined where its head is not in `bytes` or cannot be one. */
export function entryLength(bytes: Buffer, position: number): number | undefined {
  if (position + entryHeadBytes > bytes.length) return undefined;
  const length = bytes.readUInt32BE(position + at.length);
  return length >= entryHeadBytes && length <= entryBytesMax ? length : undefined;
}

/** Why an entry with a good checksum cannot follow `before`, or undefined. */
export function misfit(entry: StoredEntry, before: Link): string | undefined {
  if (entry.offset !== before.next) return `it calls itself ${entry.offset}`;
  if (before.epoch !== undefined && entry.epoch < before.epoch) return `epoch ${entry.epoch} after ${before.epoch}`;
  if (!chainHash(before.chain, entry.whole).equals(entry.chain)) return 'the hash chain breaks';
  return undefined;
}

/** Whether, behind `from`, an entry stands that was written when more than `durable` bytes of the file were durable already. Asked
 *  about a bad entry at the position `durable`: then it was whole once. `base`: the position of `bytes` in the file. */
export function provesDurable(bytes: Buffer, base: number, durable: number, seed: number): boolean {
  for (let place = bytes.indexOf(mark); place !== -1; place = bytes.indexOf(mark, place + 1)) {
    const parsed = parseEntry(bytes, place, seed);
    if (parsed.kind === 'entry' && parsed.entry.durable > durable && parsed.entry.durable <= base + place) return true;
  }
  return false;
}

function chainHash(previous: Buffer, whole: Buffer): Buffer {
  return createHash('sha256').update(previous).update(whole.subarray(at.offset)).digest();
}

export function encodeSegmentHead(head: SegmentHead): Buffer {
  const writer = new Writer(256);
  writer.text(head.stream);
  writer.u64(BigInt(head.createdAtMs));
  writeState(writer, head.before);
  return framed(segmentMagic, writer.end());
}

export function encodeEnd(end: DurableEnd): Buffer {
  const writer = new Writer(256);
  writer.text(end.stream);
  writer.u64(BigInt(end.segment));
  writer.u64(BigInt(end.position));
  writeState(writer, end.state);
  return framed(endMagic, writer.end());
}

/** More than any head or end takes: a position is two texts of at most 64 KiB. */
export const framedBytesMax = 256 * 1024;

/** The head and its length in bytes; undefined when it is not whole and right. */
export function decodeSegmentHead(
  bytes: Buffer,
): { readonly head: SegmentHead; readonly headBytes: number } | undefined {
  const body = unframed(segmentMagic, bytes);
  if (!body) return undefined;
  const reader = new Reader(body);
  const head = { stream: reader.text(), createdAtMs: Number(reader.u64()), before: readState(reader) };
  return { head, headBytes: segmentMagic.length + 8 + body.length };
}

/** Undefined when it is not whole and right: also while it is being written. */
export function decodeEnd(bytes: Buffer): DurableEnd | undefined {
  const body = unframed(endMagic, bytes);
  if (!body) return undefined;
  const reader = new Reader(body);
  return {
    stream: reader.text(),
    segment: offset(Number(reader.u64())),
    position: Number(reader.u64()),
    state: readState(reader),
  };
}

function framed(magic: Buffer, body: Buffer): Buffer {
  const writer = new Writer(magic.length + 8 + body.length);
  writer.raw(magic);
  writer.u32(body.length);
  writer.u32(crc32(body));
  writer.raw(body);
  return writer.end();
}

function unframed(magic: Buffer, bytes: Buffer): Buffer | undefined {
  const from = magic.length + 8;
  if (bytes.length < from || magic.compare(bytes, 0, magic.length) !== 0) return undefined;
  const body = bytes.subarray(from, from + bytes.readUInt32BE(magic.length));
  if (body.length !== bytes.readUInt32BE(magic.length)) return undefined;
  return crc32(body) === bytes.readUInt32BE(magic.length + 4) ? body : undefined;
}

function writeState(writer: Writer, state: LogState): void {
  writer.u64(BigInt(state.next));
  writer.u64(BigInt(state.epoch ?? 0));
  writer.bytes(state.chain);
  writer.u8(state.end ? 1 : 0);
  if (!state.end) return;
  writer.text(state.end.origin);
  writer.u64(state.end.order);
  writer.text(state.end.token);
}

function readState(reader: Reader): LogState {
  const next = offset(Number(reader.u64()));
  const found = Number(reader.u64());
  return {
    next,
    epoch: found === 0 ? undefined : epoch(found),
    chain: Buffer.from(reader.bytes()),
    end: reader.u8() === 1 ? { origin: reader.text(), order: reader.u64(), token: reader.text() } : undefined,
  };
}

// Two halves instead of a BigInt: entries are read by the million.
function writeUint64(bytes: Buffer, value: number, position: number): void {
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), position);
  bytes.writeUInt32BE(value % 2 ** 32, position + 4);
}

const readUint64 = (bytes: Buffer, position: number): number =>
  bytes.readUInt32BE(position) * 2 ** 32 + bytes.readUInt32BE(position + 4);
