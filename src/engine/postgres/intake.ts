import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** So much may wait here; the rest waits in the kernel's buffers, and then at the server. It is what a socket reads at once: who got less
 *  has emptied the kernel's buffer. */
const gulpBytes = 64 * 1024;
/** A torrent brings at least so much in a millisecond, counted over so much or so long. */
const torrentBytesPerMs = 4 * 1024;
const countedBytes = 16 * 1024;
const countedMs = 4;

export interface IntakeOptions {
  /** Whether a torrent of small messages may gather in the kernel's buffers, a pause at a time. A server that sends each by itself, as a
   *  walsender does, wakes us for each otherwise, and has to work for that as well. */
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
  #sinceMs = performance.now();
  #isTorrent: boolean;
  /** When the last gulp came. */
  #gulpMs = 0;
  /** From one gulp of a torrent to the next, in milliseconds. */
  pauseMs = 1;
  /** What timers, which count whole milliseconds, have left over. */
  #owedMs = 0;

  /** Takes over what the socket brings, for good. */
  constructor(socket: Socket, { gathers }: IntakeOptions) {
    this.#socket = socket;
    this.#gathers = gathers;
    // Who starts with a backlog must not begin with keeping up: see `Pace`.
    this.#isTorrent = gathers;
    socket.pause();
    socket.removeAllListeners('data');
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#waitingBytes += chunk.length;
      this.#cameBytes += chunk.length;
      // Of a torrent, one gulp at a time: what comes while we work would be taken piece by piece.
      if (this.#isTorrent || this.#waitingBytes >= gulpBytes) socket.pause();
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

  /** Returns when the next gulp is due. */
  async #gather(): Promise<void> {
    const nowMs = performance.now();
    const tookMs = nowMs - this.#sinceMs;
    if (this.#cameBytes >= countedBytes || tookMs > countedMs) {
      this.#isTorrent = this.#cameBytes >= torrentBytesPerMs * tookMs;
      this.#cameBytes = 0;
      this.#sinceMs = nowMs;
    }
    if (this.#isTorrent) await this.#pause(nowMs);
    this.#gulpMs = performance.now();
  }

  async #pause(nowMs: number): Promise<void> {
    // What was worked meanwhile counts.
    this.#owedMs = Math.max(this.#owedMs + this.pauseMs - (nowMs - this.#gulpMs), 0);
    if (this.#owedMs < 1) return;
    await sleep(Math.trunc(this.#owedMs));
    this.#owedMs -= performance.now() - nowMs;
  }

  #end(error?: Error): void {
    this.#ended = true;
    this.#failed ??= error;
    this.#wake?.resolve();
  }
}
