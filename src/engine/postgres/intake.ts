import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** So much may wait here; the rest waits in the kernel's buffers, and then at the server. It is what a socket reads at once: who got less
 *  has emptied the kernel's buffer. */
const gulpBytes = 64 * 1024;
/** A torrent brings at least so much in a millisecond, counted over so much or so long. */
const torrentBytesPerMs = 4 * 1024;
const countedBytes = 16 * 1024;
const countedMs = 4;
/** From one gulp of a torrent to the next: at first, and at the most, which is less than anybody waits for who is that far behind. */
const pauseMsFirst = 2;
const pauseMsMax = 5;

export interface IntakeOptions {
  /** Whether a torrent of small messages may gather in the kernel's buffers. A server that sends each by itself, as a walsender does,
   *  wakes us for each otherwise; and while we take all that comes, each message goes through the whole of TCP by itself, which costs the
   *  server twice of what decoding does. So a torrent is read gulp by gulp, as slowly as can be without making the server wait: our window
   *  is shut most of the time, what is sent then joins what waits behind it, and the server's kernel passes it on in large pieces. */
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
  /** What came since when, for telling a torrent. */
  #cameBytes = 0;
  #sinceMs = 0;
  #isTorrent = false;
  /** The last gulp, and when it came. */
  #gulpBytes = 0;
  #gulpMs = 0;
  #pauseMs = pauseMsFirst;
  /** What timers, which count whole milliseconds, have left over. */
  #owedMs = 0;

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
      this.#gulpBytes += chunk.length;
      if (this.#waitingBytes >= gulpBytes) socket.pause();
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
    if (this.#cameBytes >= countedBytes || tookMs > countedMs) {
      this.#isTorrent = this.#cameBytes >= torrentBytesPerMs * tookMs;
      this.#cameBytes = 0;
      this.#sinceMs = nowMs;
    }
    if (this.#isTorrent) await this.#pause(nowMs);
    else this.#pauseMs = pauseMsFirst;
    this.#gulpBytes = 0;
    this.#gulpMs = performance.now();
  }

  /** A little less after a gulp that left something behind, a little more after one that did not. */
  async #pause(nowMs: number): Promise<void> {
    const step = this.#gulpBytes < gulpBytes ? 0.25 : this.#pauseMs > 1 ? -0.5 : -0.05;
    this.#pauseMs = Math.min(Math.max(this.#pauseMs + step, 0), pauseMsMax);
    // What was worked meanwhile counts.
    this.#owedMs = Math.max(this.#owedMs + this.#pauseMs - (nowMs - this.#gulpMs), 0);
    if (this.#owedMs < 1) return;
    this.#socket.pause();
    await sleep(Math.trunc(this.#owedMs));
    this.#owedMs -= performance.now() - nowMs;
  }

  #end(error?: Error): void {
    this.#ended = true;
    this.#failed ??= error;
    this.#wake?.resolve();
  }
}
