import type { Socket } from 'node:net';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';

/** So much may wait here; the rest waits in the kernel's buffers, and then at the server. */
const waitingBytesMax = 64 * 1024;
/** A torrent: so many bytes within so many milliseconds. */
const torrentBytes = 16 * 1024;
const torrentMs = 4;
/** How long a torrent is left to gather: less than anybody waits for who is that far behind. */
const gatherMs = 1;

export interface IntakeOptions {
  /** Whether a torrent of small messages may gather in the kernel's buffers for a millisecond at a time. A server that sends each by
   *  itself, as a walsender does, wakes us for each otherwise, and has to work for that as well: half of its speed. */
  readonly gathers: boolean;
}

/** What a socket brings, chunk by chunk, as it is asked for. */
export class Intake {
  readonly #socket: Socket;
  readonly #gathers: boolean;
  readonly #chunks: Buffer[] = [];
  #waitingBytes = 0;
  #failed: Error | undefined;
  #ended = false;
  #wake: PromiseWithResolvers<void> | undefined;
  /** What came since when. */
  #cameBytes = 0;
  #sinceMs = 0;
  #isTorrent = false;

  /** Takes over what the socket brings, for good. */
  constructor(socket: Socket, { gathers }: IntakeOptions) {
    this.#socket = socket;
    this.#gathers = gathers;
    socket.pause();
    socket.removeAllListeners('data');
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#waitingBytes += chunk.length;
      this.#cameBytes += chunk.length;
      if (this.#waitingBytes >= waitingBytesMax) socket.pause();
      this.#wake?.resolve();
    });
    socket.once('error', (error) => this.#end(error));
    socket.once('end', () => this.#end());
    socket.once('close', () => this.#end());
    // Listening for data lets it flow.
    socket.pause();
  }

  /** The next chunk; undefined once the connection is gone. Throws what it failed of. */
  async next(): Promise<Buffer | undefined> {
    if (this.#gathers && this.#chunks.length === 0 && !this.#ended) await this.#gather();
    while (this.#chunks.length === 0) {
      if (this.#failed) throw this.#failed;
      if (this.#ended || this.#socket.destroyed) return undefined;
      this.#wake = Promise.withResolvers();
      this.#socket.resume();
      await this.#wake.promise;
      this.#wake = undefined;
    }
    const chunk = this.#chunks.shift();
    this.#waitingBytes -= chunk?.length ?? 0;
    return chunk;
  }

  /** Returns when it is worth to look again. */
  async #gather(): Promise<void> {
    const nowMs = performance.now();
    const tookMs = nowMs - this.#sinceMs;
    if (this.#cameBytes >= torrentBytes || tookMs > torrentMs) {
      this.#isTorrent = tookMs <= torrentMs;
      this.#cameBytes = 0;
      this.#sinceMs = nowMs;
    }
    if (!this.#isTorrent) return;
    // What lies there already comes first: it may be more than one chunk.
    await setImmediate();
    if (this.#waitingBytes >= torrentBytes || this.#ended) return;
    this.#socket.pause();
    await sleep(gatherMs);
  }

  #end(error?: Error): void {
    this.#ended = true;
    this.#failed ??= error;
    this.#wake?.resolve();
  }
}
