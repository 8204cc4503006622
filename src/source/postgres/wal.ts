import type { Connection } from '../../engine/postgres/connect.ts';
import { type Lsn, lsn } from '../../engine/postgres/lsn.ts';
import { COPY_BOTH_RESPONSE, COPY_DATA, type Frame, query, standbyStatus } from '../../engine/postgres/message.ts';
import { Wire } from '../../engine/postgres/wire.ts';
import { ChangeoverError } from '../../error.ts';
import { type Gulp, Pace } from './pace.ts';
import { epochShiftUs } from './pgoutput.ts';

/** Well below the server's wal_sender_timeout, which we pin at 60 s: a status also tells that we live. */
const statusMsMax = 10_000;
/** Statuses are answered: so many of them in vain, and nobody is there. */
const statusesPerSilence = 4;
/** A torrent of which nothing came for so long has ended, or its sender is at work on something else. */
const breakMs = 20;

export interface WalStreamOptions {
  /** A server of which nothing was heard for so long is given up. */
  readonly silenceMsMax: number;
}

/** A message is what lies in `bytes` from `at` to `end`. */
export interface WalMessage {
  readonly bytes: Buffer;
  readonly at: number;
  readonly end: number;
}

/** In a CopyData frame of type `w`, the message follows its letter, two LSNs and a time. */
const messageAt = 25;
const sentAt = 17;
const COMMIT = 0x43; // C
const STREAM_COMMIT = 0x63; // c

/** The stream of one slot over one replication connection, which it takes over for good.
 *  https://www.postgresql.org/docs/current/protocol-replication.html (START_REPLICATION) */
export class WalStream implements Disposable {
  readonly #wire: Wire;
  /** Zero says nothing of what may be forgotten: until `confirm` speaks, a status only tells that we live (invariant 1). */
  #flushed: Lsn = lsn(0n);
  readonly #timer: NodeJS.Timeout;
  readonly #pace = new Pace();
  #coming: Promise<readonly Frame[]> | undefined;
  /** When the last commit that came was made: microseconds by the server's clock. */
  #committedUs = 0n;

  constructor(connection: Connection, { silenceMsMax }: WalStreamOptions) {
    this.#wire = new Wire(connection, { silenceMsMax, isAlive: async () => false }, { gathers: true });
    this.#timer = setInterval(() => this.#sendStatus(), Math.min(statusMsMax, silenceMsMax / statusesPerSilence));
  }

  /** Refusals of the command (slot busy, slot gone) are thrown by the first `take`. */
  async start(command: string): Promise<void> {
    await this.#wire.send(query(command));
  }

  /** The messages that have come, at least none: a keepalive alone gives an empty list, and so does a torrent that breaks off. Throws
   *  SOURCE_UNREACHABLE when the server ends the stream. */
  async take(): Promise<readonly WalMessage[]> {
    if (this.#pace.isTorrent && !(await this.#goesOn())) {
      this.#pace.rest();
      return [];
    }
    const messages: WalMessage[] = [];
    let sum = 0;
    let last: Frame | undefined;
    for (const frame of this.#wire.checked(await this.#frames(), 'Streaming')) {
      const { type, bytes, at: start, end } = frame;
      if (type === COPY_BOTH_RESPONSE) continue;
      if (type !== COPY_DATA) throw new ChangeoverError('SOURCE_UNREACHABLE', 'The primary ended the stream');
      const kind = bytes[start];
      if (kind === 0x77) {
        const at = start + messageAt;
        messages.push({ bytes, at, end });
        sum += end - start;
        last = frame;
        if (bytes[at] === COMMIT) this.#committedUs = bytes.readBigInt64BE(at + 18);
        else if (bytes[at] === STREAM_COMMIT) this.#committedUs = bytes.readBigInt64BE(at + 22);
      } else if (kind === 0x6b && bytes[start + 17] === 1) this.#sendStatus();
    }
    this.#setPace(last, { messages: messages.length, bytes: sum });
    return messages;
  }

  /** The frames that come next: one look at a time. */
  async #frames(): Promise<readonly Frame[]> {
    const coming = this.#coming ?? this.#wire.take();
    this.#coming = undefined;
    return coming;
  }

  /** Whether something comes soon. */
  async #goesOn(): Promise<boolean> {
    this.#coming ??= this.#wire.take();
    // It may fail after everybody has gone.
    const came = this.#coming.then(
      () => true,
      () => true,
    );
    const { promise: late, resolve } = Promise.withResolvers<boolean>();
    // A timer that is aborted makes an error each time, which costs more than all else here.
    const timer = setTimeout(resolve, breakMs, false);
    try {
      return await Promise.race([came, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #setPace(last: Frame | undefined, came: Pick<Gulp, 'messages' | 'bytes'>): void {
    // A keepalive alone: there is nothing else.
    if (!last) return this.#pace.rest();
    const sentMs = Number(last.bytes.readBigInt64BE(last.at + sentAt)) / 1000;
    const committedMs = Number(this.#committedUs) / 1000;
    this.#wire.pace(this.#pace.after({ ...came, sentMs, committedMs, nowMs: performance.now() }));
  }

  /** Whether more of a backlog will follow at once. */
  get isTorrent(): boolean {
    return this.#pace.isTorrent;
  }

  /** Tells the server that it may forget what lies before `flushed`. Never moves back. */
  confirm(flushed: Lsn): void {
    if (flushed <= this.#flushed) return;
    this.#flushed = flushed;
    this.#sendStatus();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#wire.close();
  }

  #sendStatus(): void {
    // The server only shows this time; a wrong clock harms nothing (invariant 16).
    this.#wire.post(standbyStatus(this.#flushed, BigInt(Date.now()) * 1000n - epochShiftUs));
  }
}
