import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ChangeoverError } from '../../error.ts';
import type { WalMessage } from './wal.ts';

/** One write and one read of the operating system: large enough that its cost vanishes, small enough to hold a few. */
const chunkBytes = 1024 * 1024;
/** Room for a chunk and the message that fills it, unless that one is large. */
const roomBytes = 2 * chunkBytes;
/** Of a message in a chunk: its length, and the transaction that it belongs to. */
const headBytes = 8;

const LOGICAL_MESSAGE = 0x4d; // M

const algorithm = 'aes-256-gcm';

interface Chunk {
  readonly position: number;
  readonly bytes: number;
  readonly tag: Buffer;
}

/** What came of a transaction before its commit, in a file that goes with the process: it has no name any more, and its key is in our memory
 *  only. What is masked, or left out, or sealed in the log, lies readable nowhere. Never synced: after a crash the primary sends it again. */
export class Spill implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #folder: string;
  readonly #key = randomBytes(32);
  readonly #chunks: Chunk[] = [];
  /** Transactions within it that were rolled back. */
  readonly #aborted = new Set<number>();
  #hasLogical = false;
  #isUnclear = false;
  #position = 0;
  #open: Buffer | undefined;
  #openBytes = 0;

  constructor(file: FileHandle, folder: string) {
    this.#file = file;
    this.#folder = folder;
  }

  /** Adds a message, without the number of its transaction, which stands behind its letter. */
  put({ bytes, at, end: messageEnd }: WalMessage): void {
    const length = messageEnd - at - 4;
    const start = this.#openBytes;
    const end = start + headBytes + length;
    this.#open ??= Buffer.allocUnsafe(roomBytes);
    if (end > this.#open.length) this.#open = Buffer.concat([this.#open.subarray(0, start)], end);
    const open = this.#open;
    open.writeUInt32BE(length, start);
    bytes.copy(open, start + 4, at + 1, at + 5);
    const letter = bytes.readUInt8(at);
    if (letter === LOGICAL_MESSAGE) this.#hasLogical = true;
    open.writeUInt8(letter, start + headBytes);
    bytes.copy(open, start + headBytes + 1, at + 5, messageEnd);
    this.#openBytes = end;
  }

  /** Time to `flush`. */
  get isFull(): boolean {
    return this.#openBytes >= chunkBytes;
  }

  /** Lets go of the memory. Throws SOURCE_SPILL_FULL, SOURCE_SPILL_IO. */
  async flush(): Promise<void> {
    if (!this.#open || this.#openBytes === 0) return;
    const cipher = createCipheriv(algorithm, this.#key, this.#nonce(this.#chunks.length));
    const sealed = cipher.update(this.#open.subarray(0, this.#openBytes));
    cipher.final();
    this.#chunks.push({ position: this.#position, bytes: sealed.length, tag: cipher.getAuthTag() });
    this.#position += sealed.length;
    this.#open = undefined;
    this.#openBytes = 0;
    await this.#file.appendFile(sealed).catch((error: unknown) => {
      throw spillFailure(error, { folder: this.#folder, doing: 'Writing' });
    });
  }

  /** What belongs to this transaction within it never happened. */
  abort(subtransaction: number): void {
    this.#aborted.add(subtransaction);
    if (this.#hasLogical) this.#isUnclear = true;
  }

  /** Something was rolled back, and it may have been a logical message that is here: the server gives those the number of the whole
   *  transaction, wherever in it they were sent. */
  get isUnclear(): boolean {
    return this.#isUnclear;
  }

  /** All that was put and not aborted, chunk by chunk. Once everything is flushed. Throws SOURCE_SPILL_IO. */
  async *messages(): AsyncGenerator<readonly WalMessage[]> {
    for (const [index, chunk] of this.#chunks.entries()) {
      const plain = await this.#read(chunk, index).catch((error: unknown) => {
        throw spillFailure(error, { folder: this.#folder, doing: 'Reading back' });
      });
      const messages: WalMessage[] = [];
      for (let start = 0; start < plain.length; ) {
        const at = start + headBytes;
        const end = at + plain.readUInt32BE(start);
        if (!this.#aborted.has(plain.readUInt32BE(start + 4))) messages.push({ bytes: plain, at, end });
        start = end;
      }
      yield messages;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  /** Throws unless it is what was written, byte for byte. */
  async #read({ position, bytes, tag }: Chunk, index: number): Promise<Buffer> {
    const sealed = Buffer.allocUnsafe(bytes);
    for (let done = 0; done < bytes; ) {
      const { bytesRead } = await this.#file.read(sealed, done, bytes - done, position + done);
      if (bytesRead === 0) throw new RangeError('the file is cut short');
      done += bytesRead;
    }
    const decipher = createDecipheriv(algorithm, this.#key, this.#nonce(index)).setAuthTag(tag);
    const plain = decipher.update(sealed);
    decipher.final();
    return plain;
  }

  /** Each chunk has its own, under a key that no other file has. */
  #nonce(index: number): Buffer {
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32BE(index);
    return nonce;
  }
}

/** Throws SOURCE_SPILL_FULL, SOURCE_SPILL_IO. */
export async function openSpill(folder: string): Promise<Spill> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, randomBytes(8).toString('hex'));
    const file = await open(path, 'wx+', 0o600);
    // However we end, the space is free again.
    await unlink(path);
    return new Spill(file, folder);
  } catch (error) {
    throw spillFailure(error, { folder, doing: 'Beginning a file' });
  }
}

/** Puts an error of node:fs, or of what was read, into the closed table. */
function spillFailure(
  cause: unknown,
  { folder, doing }: { readonly folder: string; readonly doing: string },
): ChangeoverError {
  const message = `${doing} in ${folder}: ${cause instanceof Error ? cause.message : String(cause)}`;
  const errno = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const code = errno === 'ENOSPC' || errno === 'EDQUOT' ? 'SOURCE_SPILL_FULL' : 'SOURCE_SPILL_IO';
  return new ChangeoverError(code, message, { cause });
}
