/* How fast a backlog of small messages is read. Pure.

   A walsender sends each message by itself. While our window is open, each goes through the whole of TCP by itself, which costs the
   primary twice of what decoding it does; while the window is shut, a message only joins those that wait at the sender, and the kernel
   passes them on in large pieces. So we stay a little behind: never so far that the sender has to wait for room.
   How far behind is told by the delay of what comes over the least delay seen, as LEDBAT does it: https://www.rfc-editor.org/rfc/rfc6817 */

/** Who is so far behind the commits does not mind to fall back a little more. */
const backlogMs = 1000;
/** So much may wait for us: more than our window, which grows beyond 1 MB at times, and less than that and the sender's buffer together. */
const waitingBytes = 2 * 1024 * 1024;
/** Where buffers are smaller than that, no delay gets there; and who is slow need not be slower. */
const delayMsMin = 80;
const delayMsWantedMax = 160;
/** Over so long, speed is measured. */
const speedMs = 100;
/** Larger messages cost more by their bytes than by their number. */
const smallBytesMax = 512;
const torrentBytes = 32 * 1024;
const pauseMsMin = 1;
const pauseMsMax = 8;
/** Milliseconds of pause for a millisecond of delay too few. */
const gain = 0.02;
/** A clock that was set looks like this. */
const delayMsMax = 5000;

/** Messages that came at once. */
export interface Gulp {
  readonly messages: number;
  readonly bytes: number;
  /** When the last of them was sent, by the server's clock; milliseconds, from anywhere. */
  readonly sentMs: number;
  /** When the last commit among what came so far was made, by that clock. */
  readonly committedMs: number;
  /** By our clock. */
  readonly nowMs: number;
}

interface Filling extends Pick<Gulp, 'bytes' | 'sentMs'> {
  readonly isFirst: boolean;
  readonly isFull: boolean;
}

export class Pace {
  #leastMs = Number.POSITIVE_INFINITY;
  #pauseMs = pauseMsMin;
  #isBacklog = false;
  #isTorrent = false;
  #delayMsWanted = delayMsMin;
  #isFilling = false;
  #fillBytes = 0;
  #fillSentMs = 0;
  /** What came since when, for the speed. */
  #cameBytes = 0;
  #sinceMs = 0;

  /** Far behind, and the last gulp was a large one: more is there, and nobody is served by handing on each gulp by itself. */
  get isTorrent(): boolean {
    return this.#isTorrent;
  }

  /** Nothing came. */
  rest(): void {
    this.#isTorrent = false;
  }

  /** How long after this gulp the next one may be taken, in milliseconds. */
  after({ messages, bytes, sentMs, committedMs, nowMs }: Gulp): number {
    const lagMs = nowMs - sentMs;
    if (lagMs - this.#leastMs > delayMsMax) this.#leastMs = lagMs;
    this.#leastMs = Math.min(this.#leastMs, lagMs);
    const wasBacklog = this.#isBacklog;
    this.#isBacklog = sentMs - committedMs > backlogMs && bytes <= messages * smallBytesMax;
    this.#isTorrent = this.#isBacklog && bytes >= torrentBytes;
    // Large messages come in large pieces by themselves, and those that keep up with the commits are small gulps.
    if (!this.#isBacklog) return bytes > messages * smallBytesMax ? 0 : pauseMsMin;
    this.#measure(bytes, nowMs, wasBacklog);
    const short = this.#delayMsWanted - (lagMs - this.#leastMs);
    if (wasBacklog && !this.#isFilling)
      this.#pauseMs = Math.min(Math.max(this.#pauseMs + gain * short, pauseMsMin), pauseMsMax);
    else this.#fill({ bytes, sentMs, isFirst: !wasBacklog, isFull: short <= 0 });
    return this.#pauseMs;
  }

  /** At first as slow as can be: once we have kept up for a moment, our window has grown beyond what ever waits. As soon as enough waits, as
   *  fast as it was sent. */
  #fill({ bytes, sentMs, isFirst, isFull }: Filling): void {
    if (isFirst) {
      this.#isFilling = true;
      this.#fillBytes = 0;
      this.#fillSentMs = sentMs;
    }
    this.#fillBytes += bytes;
    this.#pauseMs = pauseMsMax;
    if (isFirst || !isFull) return;
    this.#isFilling = false;
    const sentInMs = ((sentMs - this.#fillSentMs) * bytes) / this.#fillBytes;
    this.#pauseMs = Math.min(Math.max(sentInMs, pauseMsMin), pauseMsMax);
  }

  #measure(bytes: number, nowMs: number, goesOn: boolean): void {
    const tookMs = nowMs - this.#sinceMs;
    if (goesOn && tookMs < speedMs) {
      this.#cameBytes += bytes;
      return;
    }
    if (goesOn) {
      const ms = (waitingBytes * tookMs) / (this.#cameBytes + bytes);
      this.#delayMsWanted = Math.min(Math.max(ms, delayMsMin), delayMsWantedMax);
    }
    this.#cameBytes = 0;
    this.#sinceMs = nowMs;
  }
}
