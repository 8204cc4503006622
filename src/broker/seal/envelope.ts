import { createHash } from 'node:crypto';
import { Reader, unreadable, Writer } from '../../change/bytes.ts';
import type { WrappedKey } from '../key-ring.ts';

/* A sealed batch as bytes. Big-endian; text and bytes as in change/codec.ts. A golden file proves that old bytes still open.

   envelope = head:bytes sealed tag:16
   head     = version:u8=1 stream:text offset:u64 epoch:u64 key:text wrapped:bytes count:u64 previous:32
   sealed   = AES-256-GCM of zstd(batch); the head is its associated data, its nonce 4 zero bytes and `count`

   stream, offset, epoch  Where the batch belongs: at any other place, or in any other stream, it does not open.
   key, wrapped           The data key, wrapped by the key of the ring that is called `key`.
   count                  How many were sealed with this data key before. Never twice the same, which would give the key away.
   previous               sha256 of the whole envelope of the entry before: the link. 32 zeros for the first entry.              */

const version = 1;
export const tagBytes = 16;
const linkBytes = 32;
/** What the first entry of a stream follows. */
export const noLink: Buffer = Buffer.alloc(linkBytes);

export interface EnvelopeHead {
  readonly stream: string;
  readonly offset: number;
  readonly epoch: number;
  readonly wrapped: WrappedKey;
  readonly count: bigint;
  readonly previous: Buffer;
}

export interface Envelope {
  readonly head: EnvelopeHead;
  /** All of the head's bytes, as they are authenticated. */
  readonly headBytes: Buffer;
  readonly sealed: Buffer;
  readonly tag: Buffer;
}

export function encodeHead({ stream, offset, epoch, wrapped, count, previous }: EnvelopeHead): Buffer {
  const writer = new Writer(256 + wrapped.bytes.length);
  writer.u8(version);
  writer.text(stream);
  writer.u64(BigInt(offset));
  writer.u64(BigInt(epoch));
  writer.text(wrapped.key);
  writer.bytes(wrapped.bytes);
  writer.u64(count);
  writer.raw(previous);
  return writer.end();
}

export function encodeEnvelope(headBytes: Buffer, sealed: readonly Buffer[], tag: Buffer): Buffer {
  const writer = new Writer(4 + headBytes.length + sealed.reduce((sum, { length }) => sum + length, 0) + tagBytes);
  writer.bytes(headBytes);
  for (const bytes of sealed) writer.raw(bytes);
  writer.raw(tag);
  return writer.end();
}

/** The parts, of which nothing is proved yet. Throws BROKER_CORRUPT for what cannot be an envelope of this version. */
export function decodeEnvelope(bytes: Buffer): Envelope {
  const outer = new Reader(bytes);
  const headBytes = outer.bytes();
  const reader = new Reader(headBytes);
  const found = reader.u8();
  if (found !== version) throw unreadable(`its envelope has version ${found}, this program opens ${version}`);
  const head = {
    stream: reader.text(),
    offset: Number(reader.u64()),
    epoch: Number(reader.u64()),
    wrapped: { key: reader.text(), bytes: reader.bytes() },
    count: reader.u64(),
    previous: reader.raw(linkBytes),
  };
  const rest = bytes.subarray(4 + headBytes.length);
  if (!reader.ended || rest.length < tagBytes) throw unreadable('its envelope is cut short');
  return { head, headBytes, sealed: rest.subarray(0, -tagBytes), tag: rest.subarray(-tagBytes) };
}

export const linkOf = (envelope: Buffer): Buffer => createHash('sha256').update(envelope).digest();

/** Unique for a data key. https://nvlpubs.nist.gov/nistpubs/Legacy/SP/nistspecialpublication800-38d.pdf (8.2.1) */
export function nonceOf(count: bigint): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeBigUInt64BE(count, 4);
  return nonce;
}
