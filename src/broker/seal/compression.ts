import { promisify } from 'node:util';
import { constants, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync } from 'node:zlib';

/* zstd, before anything is sealed: what is sealed does not compress any more. */

const compressInPool = promisify(zstdCompress);
const decompressInPool = promisify(zstdDecompress);
/** From so many bytes on in the pool of threads: below, the way there and back takes longer than the work. */
const inPoolFromBytes = 4 * 1024 * 1024;
/** No batch is larger: what was sealed is ours, and still nobody allocates without a limit. */
const batchBytesMax = 1024 ** 3;
/** The fastest level, in a window that stays in the processor's cache: a better one leaves less, and takes longer than what it saves. */
const params = { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_windowLog]: 17 };

/** What comes out is gathered in pieces of so many bytes: one piece where it can be, no more memory than it takes. */
const pieceBytes = (guess: number): number => Math.min(Math.max(guess, 1024), 1024 * 1024);

export async function compress(plain: Buffer): Promise<Buffer> {
  const options = { params, chunkSize: pieceBytes(plain.length) };
  return plain.length < inPoolFromBytes ? zstdCompressSync(plain, options) : compressInPool(plain, options);
}

export async function decompress(compressed: Buffer): Promise<Buffer> {
  const options = { maxOutputLength: batchBytesMax, chunkSize: pieceBytes(compressed.length * 10) };
  return compressed.length < inPoolFromBytes
    ? zstdDecompressSync(compressed, options)
    : decompressInPool(compressed, options);
}
