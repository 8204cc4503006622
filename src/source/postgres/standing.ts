import { setTimeout as sleep } from 'node:timers/promises';
import { type Ask, refusalPrefix, refusalText } from '../../change/ask.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { type Lsn, lsn } from '../../engine/postgres/lsn.ts';
import { ChangeoverError, isCode } from '../../error.ts';
import { backendOf, createPassingSlot, endBackend } from './slot.ts';
import type { WalMessage } from './wal.ts';

/* Where a snapshot and the stream meet. What is asked for is to be true of one position, and the stream must be told of it there. A
   slot for passing use gives a snapshot and its exact position, but says so a moment after that position went by; so while one is
   being made, the stream is let through that moment later. Nothing waits for the slot, which itself waits for transactions that are
   open: neither the application, nor a commit that waits for our log. */

/** How much later, at first; twice that after each time that it was too little. Far more than an answer takes to come. */
const holdMsFirst = 50;
const holdMsMax = 2000;
/** What is held back is bounded: beyond it, the oldest goes on its way. */
const heldBytesMax = 8 * 1024 * 1024;
/** Who asks waits for the answer: more at once would be somebody who means no good. */
const asksMax = 100;
const knownMax = 10_000;
/** Whoever was answered comes for the snapshot at once; it holds vacuum back, and the primary's log. */
const shownMs = 60_000;
/** An abort is prompt, also where the server does not answer. */
const endMsMax = 1000;

export interface StandingOptions {
  readonly take: () => Promise<readonly WalMessage[]>;
  readonly open: (signal: AbortSignal, replication?: boolean) => Promise<Connection>;
  /** For what is answered at once. */
  readonly control: Connection;
}

/** What is asked, a snapshot, and its position: all before it has been let through, and nothing behind it. */
export interface Stand {
  readonly ask: Ask;
  readonly at: Lsn;
  readonly snapshot: string;
}

interface Made extends Stand {
  /** The snapshot lives as long as this does nothing else. */
  readonly walsender: Connection;
}

interface Held extends WalMessage {
  readonly sinceMs: number;
}

export class Standing implements AsyncDisposable {
  readonly #options: StandingOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #asks: Ask[] = [];
  readonly #known = new Set<string>();
  #making: Promise<void> | undefined;
  #made: Made | undefined;
  #failed: { readonly error: unknown } | undefined;
  #shown: { readonly walsender: Connection; readonly timer: NodeJS.Timeout } | undefined;
  #taking: Promise<void> | undefined;
  #held: Held[] = [];
  #heldBytes = 0;
  #holdMs = holdMsFirst;
  /** Where the commit begins of the last transaction that was let through while a stand was being made. */
  #begun: Lsn = lsn(0n);

  constructor(options: StandingOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
  }

  ask(ask: Ask): void {
    // Whoever asks insists, lest we were killed meanwhile.
    if (this.#known.has(ask.id) || this.#asks.length >= asksMax) return;
    if (this.#known.size >= knownMax) this.#known.clear();
    this.#known.add(ask.id);
    this.#asks.push(ask);
  }

  /** The messages that come next and, where they end at a stand, that stand. */
  async next(): Promise<{ readonly messages: readonly WalMessage[]; readonly stand?: Stand }> {
    for (;;) {
      this.#signal.throwIfAborted();
      const [ask] = this.#asks;
      if (ask && !this.#making && !this.#made) this.#begin(ask);
      if (this.#failed) throw this.#failed.error;
      if (!this.#making && !this.#made) return { messages: await this.#idle() };
      if (this.#made && this.#begun >= this.#made.at) {
        await this.#missed(this.#made);
        continue;
      }
      const met = this.#met();
      if (met) return met;
      const ripe = this.#ripe();
      if (ripe.length > 0) return { messages: ripe };
      await this.#news();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#making;
    await this.#made?.walsender[Symbol.asyncDispose]();
    await this.#hide();
  }

  /** Nothing is asked: what comes goes through. */
  async #idle(): Promise<readonly WalMessage[]> {
    // Straight through: what commits before a question was heard, no snapshot made for it can lack.
    if (this.#held.length === 0 && !this.#taking) return this.#options.take();
    if (this.#held.length === 0) await this.#take();
    return this.#release(this.#held.length);
  }

  #take(): Promise<void> {
    this.#taking ??= this.#taken();
    // Nobody may be waiting for it when the stream ends.
    this.#taking.catch(() => undefined);
    return this.#taking;
  }

  async #taken(): Promise<void> {
    const messages = await this.#options.take();
    this.#taking = undefined;
    const sinceMs = performance.now();
    for (const { bytes, at, end } of messages) {
      this.#held.push({ bytes, at, end, sinceMs });
      this.#heldBytes += end - at;
    }
  }

  #release(count: number): readonly WalMessage[] {
    const released = this.#held.splice(0, count);
    for (const { bytes, at, end } of released) {
      this.#heldBytes -= end - at;
      if (isBegin(bytes, at)) this.#begun = commitOf(bytes, at);
    }
    return released;
  }

  /** What was held back for long enough, or is too much. Nothing of it can lie behind a position that is known. */
  #ripe(): readonly WalMessage[] {
    if (this.#made) return this.#release(this.#held.length);
    const nowMs = performance.now();
    const young = this.#held.findIndex(({ sinceMs }) => sinceMs + this.#holdMs > nowMs);
    const ripe = young < 0 ? this.#held.length : young;
    if (ripe > 0) return this.#release(ripe);
    return this.#heldBytes > heldBytesMax ? this.#release(1) : [];
  }

  /** Something came, or the snapshot is made, or what is held back is ripe. */
  async #news(): Promise<void> {
    const [oldest] = this.#held;
    const leftMs = oldest ? Math.max(1, oldest.sinceMs + this.#holdMs - performance.now()) : undefined;
    const timer = new AbortController();
    const ripe =
      leftMs === undefined ? [] : [sleep(leftMs, undefined, { signal: timer.signal }).catch(() => undefined)];
    try {
      await Promise.race([this.#take(), ...(this.#making ? [this.#making] : []), ...ripe]);
    } finally {
      timer.abort();
    }
  }

  /** The first transaction that the snapshot does not show has come: here it stands. */
  #met(): { readonly messages: readonly WalMessage[]; readonly stand: Stand } | undefined {
    const made = this.#made;
    if (!made) return undefined;
    const behind = this.#held.findIndex(({ bytes, at }) => isBegin(bytes, at) && commitOf(bytes, at) >= made.at);
    if (behind < 0) return undefined;
    this.#made = undefined;
    this.#asks.shift();
    this.#holdMs = holdMsFirst;
    const timer = setTimeout(() => void this.#hide(), shownMs);
    timer.unref();
    this.#shown = { walsender: made.walsender, timer };
    return { messages: this.#release(behind), stand: made };
  }

  /** It went by before we knew. */
  async #missed({ walsender }: Made): Promise<void> {
    this.#made = undefined;
    this.#holdMs = Math.min(2 * this.#holdMs, holdMsMax);
    await walsender[Symbol.asyncDispose]();
  }

  async #hide(): Promise<void> {
    const shown = this.#shown;
    this.#shown = undefined;
    clearTimeout(shown?.timer);
    await shown?.walsender[Symbol.asyncDispose]();
  }

  #begin(ask: Ask): void {
    this.#making = this.#make(ask)
      .catch(async (error: unknown) => {
        if (this.#signal.aborted) return;
        // A primary that is away is the lane's matter; that it has no slot or no connection to spare is his who asks.
        if (!(error instanceof ChangeoverError) || isCode(error, 'SOURCE_UNREACHABLE')) throw error;
        this.#asks.shift();
        const why = `${error.code} ${error.message}`;
        await this.#emit(refusalPrefix, refusalText({ id: ask.id, why }));
      })
      .catch((error: unknown) => {
        this.#failed = { error };
      })
      .finally(() => {
        this.#making = undefined;
      });
  }

  async #make(ask: Ask): Promise<void> {
    await this.#hide();
    const { open } = this.#options;
    await using opened = new AsyncDisposableStack();
    const walsender = opened.use(await open(this.#signal, true));
    const backend = await backendOf(walsender);
    const passing = await createPassingSlot(walsender, `changeover_stand_${backend}`).catch(async (error: unknown) => {
      // The server waits there for transactions that are open, and does not look whether we are still there.
      if (this.#signal.aborted) await endBackend(() => open(AbortSignal.timeout(endMsMax)), backend);
      throw error;
    });
    // Something must commit behind it, or nobody can tell that nothing more comes before it.
    await this.#emit('changeover', 'stand');
    opened.move();
    this.#made = { ask, at: passing.consistentPoint, snapshot: passing.snapshot, walsender };
  }

  async #emit(prefix: string, text: string): Promise<void> {
    await this.#options.control.rows('SELECT pg_catalog.pg_logical_emit_message(true, $1, $2)', [prefix, text]);
  }
}

const STREAM_COMMIT = 0x63;

/** Where a transaction has its place in commit order: its Begin, or the Stream Commit of one whose changes came before. */
export const isBegin = (bytes: Buffer, at: number): boolean => bytes[at] === 0x42 || bytes[at] === STREAM_COMMIT;

/** Where the commit record of the transaction begins: before the position of a snapshot, that one shows it.
 *  https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html (Begin, Stream Commit) */
export const commitOf = (bytes: Buffer, at: number): Lsn =>
  lsn(bytes.readBigUInt64BE(bytes[at] === STREAM_COMMIT ? at + 6 : at + 1));
