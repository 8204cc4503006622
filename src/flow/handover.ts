import { setTimeout as sleep } from 'node:timers/promises';
import { assert } from '../error.ts';

/** The only queue: one giver, one taker, limited in bytes. The giver waits while more than `bytesMax` lie here; one item is always
 *  taken in, however large, so nothing can be too big to pass. */
export class Handover<T> {
  readonly #bytesMax: number;
  readonly #items: { readonly item: T; readonly bytes: number }[] = [];
  #bytes = 0;
  #ended = false;
  #wake: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(bytesMax: number) {
    assert(bytesMax > 0, `A handover must be allowed to hold something, not ${bytesMax} bytes`);
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get length(): number {
    return this.#items.length;
  }

  /** Resolves once the item is in. Rejects with the signal's reason when aborted while waiting: the item is not in then. */
  async give(item: T, bytes: number, signal: AbortSignal): Promise<void> {
    assert(!this.#ended, 'Given to a handover that was ended');
    while (this.#items.length > 0 && this.#bytes + bytes > this.#bytesMax) await this.#changed(signal);
    signal.throwIfAborted();
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    this.#notify();
  }

  /** Nothing more will come: the taker gets what is here, then undefined. */
  end(): void {
    this.#ended = true;
    this.#notify();
  }

  /** Everything that lies here, at least one item and at most `bytesMax` (but always one); undefined once ended and empty. With `restMs`,
   *  nothing after so long a wait. */
  async takeAll(bytesMax: number, signal: AbortSignal, restMs?: number): Promise<readonly T[] | undefined> {
    const rest = { isOver: false };
    const stop = new AbortController();
    const over = (): void => {
      rest.isOver = true;
      this.#notify();
    };
    if (restMs !== undefined && this.#items.length === 0)
      sleep(restMs, undefined, { signal: stop.signal }).then(over, () => undefined);
    try {
      while (this.#items.length === 0 && !rest.isOver) {
        if (this.#ended) return undefined;
        await this.#changed(signal);
      }
    } finally {
      stop.abort();
    }
    signal.throwIfAborted();
    const taken: T[] = [];
    let bytes = 0;
    for (const { item, bytes: itemBytes } of this.#items) {
      if (taken.length > 0 && bytes + itemBytes > bytesMax) break;
      taken.push(item);
      bytes += itemBytes;
    }
    this.#items.splice(0, taken.length);
    this.#bytes -= bytes;
    this.#notify();
    return taken;
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  async #changed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([this.#wake.promise, aborted]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}
