import { type FileHandle, open } from 'node:fs/promises';
import { nextOffset, type Offset } from '../../change/position.ts';
import { ChangeoverError } from '../../error.ts';
import { diskFailure } from './disk.ts';
import { segmentPath } from './folder.ts';
import {
  crcSeed,
  decodeSegmentHead,
  entryLength,
  framedBytesMax,
  type Link,
  linkAfter,
  misfit,
  parseEntry,
  type SegmentHead,
  type StoredEntry,
} from './format.ts';

/** One read of the operating system: large enough that its cost vanishes, small enough to hold a few. */
const chunkBytes = 1024 * 1024;
/** The same where only lengths are wanted: most entries are larger than this, and what lies between is not read. */
const strideBytes = 64 * 1024;

/** Where a segment stops being right. */
export interface Broken {
  readonly segment: Offset;
  /** The entry that should stand there. */
  readonly offset: Offset;
  /** In bytes, in the segment's file. */
  readonly position: number;
  readonly why: string;
}

export const corrupt = (folder: string, broken: Broken): ChangeoverError =>
  new ChangeoverError(
    'BROKER_CORRUPT',
    `${segmentPath(folder, broken.segment)}, entry ${broken.offset}, byte ${broken.position}: ${broken.why}`,
  );

export interface Chunk {
  readonly entries: readonly StoredEntry[];
  /** Where the first of them, or what is broken in its place, begins in the file. */
  readonly position: number;
  readonly broken?: Broken;
}

/** Where an entry of a chunk begins in the file. */
export const positionIn = ({ entries, position }: Chunk, entry: StoredEntry): number =>
  position + entry.whole.byteOffset - (entries[0]?.whole.byteOffset ?? entry.whole.byteOffset);

/** The entry `next` begins at `position`. */
export interface Place {
  readonly next: Offset;
  readonly position: number;
}

/** Reads one segment forward, checking every entry: checksum, chain, offset, epoch. */
export class Segment implements AsyncDisposable {
  readonly base: Offset;
  readonly head: SegmentHead;
  readonly headBytes: number;
  readonly #file: FileHandle;
  readonly #seed: number;
  #link: Link;
  #position: number;

  constructor(base: Offset, file: FileHandle, head: SegmentHead, headBytes: number) {
    this.base = base;
    this.head = head;
    this.headBytes = headBytes;
    this.#file = file;
    this.#seed = crcSeed(head.stream);
    this.#link = head.before;
    this.#position = headBytes;
  }

  /** Where the next `read` begins, and what its first entry must follow. */
  get position(): number {
    return this.#position;
  }

  get link(): Link {
    return this.#link;
  }

  async size(): Promise<number> {
    return (await this.#file.stat()).size;
  }

  /** Right entries, about a chunk of them and at least one; none only at `limit`, or where the segment breaks. Their buffer is never
   *  written to again. `limit`: position of a place between entries. Throws BROKER_IO. */
  async read(limit: number): Promise<Chunk> {
    const position = this.#position;
    if (position >= limit) return { entries: [], position };
    let chunk = await this.bytes(position, Math.min(limit, position + chunkBytes));
    const entries: StoredEntry[] = [];
    for (let at = 0; at < chunk.length; ) {
      const parsed = parseEntry(chunk, at, this.#seed);
      if (parsed.kind === 'short') {
        if (this.#position + parsed.bytes > limit)
          return { entries, position, broken: this.#broken('it is cut short') };
        if (entries.length > 0) break;
        const larger = await this.bytes(position, position + parsed.bytes);
        if (larger.length <= chunk.length) return { entries, position, broken: this.#broken('the file is cut short') };
        chunk = larger;
        continue;
      }
      const why = parsed.kind === 'broken' ? parsed.why : misfit(parsed.entry, this.#link);
      if (parsed.kind === 'broken' || why !== undefined) return { entries, position, broken: this.#broken(why ?? '') };
      entries.push(parsed.entry);
      this.#link = linkAfter(parsed.entry);
      this.#position += parsed.entry.whole.length;
      at += parsed.entry.whole.length;
    }
    return entries.length > 0
      ? { entries, position }
      : { entries, position, broken: this.#broken('the file is cut short') };
  }

  /** Goes on behind the entry at `place`, where that one is whole and right; what lies before it is not looked at. Only before the first
   *  `read`. False: nothing was done. */
  async beginBehind({ next, position }: Place, limit: number): Promise<boolean> {
    const upTo = (length: number): Promise<Buffer> => this.bytes(position, Math.min(limit, position + length));
    let parsed = parseEntry(await upTo(chunkBytes), 0, this.#seed);
    if (parsed.kind === 'short') parsed = parseEntry(await upTo(parsed.bytes), 0, this.#seed);
    if (parsed.kind !== 'entry' || parsed.entry.offset !== next) return false;
    this.#link = linkAfter(parsed.entry);
    this.#position = position + parsed.entry.whole.length;
    return true;
  }

  /** Steps from `place` toward the entry `to`, as far as one read tells, by lengths alone: nothing is checked. */
  async skip(place: Place, to: Offset, limit: number): Promise<Place> {
    const chunk = await this.bytes(place.position, Math.min(limit, place.position + strideBytes));
    let { next, position } = place;
    while (next < to) {
      const length = entryLength(chunk, position - place.position);
      if (length === undefined) break;
      position += length;
      next = nextOffset(next);
    }
    return next === place.next ? { next: to, position: limit } : { next, position };
  }

  /** Raw bytes, fewer where the file ends. */
  async bytes(from: number, to: number): Promise<Buffer> {
    // Not from the pool: slices of it live as long as whoever holds a row of them.
    const bytes = Buffer.allocUnsafeSlow(Math.max(0, to - from));
    let done = 0;
    try {
      while (done < bytes.length) {
        const { bytesRead } = await this.#file.read(bytes, done, bytes.length - done, from + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
    } catch (error) {
      throw diskFailure(error, `Reading segment ${this.base}`);
    }
    return bytes.subarray(0, done);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  #broken(why: string): Broken {
    return { segment: this.base, offset: this.#link.next, position: this.#position, why };
  }
}

/** Undefined when the head is not whole and right, or not of this place in this stream. Throws what node:fs throws when the file
 *  cannot be opened: ENOENT has a meaning to those who call. */
export async function openSegment(folder: string, base: Offset, stream: string): Promise<Segment | undefined> {
  const file = await open(segmentPath(folder, base), 'r');
  try {
    const bytes = Buffer.alloc(4096);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    let found = decodeSegmentHead(bytes.subarray(0, bytesRead));
    if (!found && bytesRead === bytes.length) {
      const larger = Buffer.alloc(framedBytesMax);
      const more = await file.read(larger, 0, larger.length, 0);
      found = decodeSegmentHead(larger.subarray(0, more.bytesRead));
    }
    if (found?.head.stream === stream && found.head.before.next === base)
      return new Segment(base, file, found.head, found.headBytes);
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return undefined;
}
