import { randomBytes } from 'node:crypto';
import { isCode } from '../../error.ts';
import type { KeyRing, WrappedKey } from '../key-ring.ts';

/** A key that seals batches. It lives in the memory of one writer only. */
export interface DataKey {
  readonly key: Buffer;
  readonly wrapped: WrappedKey;
  /** How many batches it has sealed. */
  count: bigint;
}

export const keyBytes = 32;
/** How long a data key is used: so late does a writer notice that the ring was rotated, and so often does it trouble a key service. */
export const renewMs = 600_000;
/** How many data keys a reader remembers: one an hour for a month is less. A key service would be asked anew for the others. */
const rememberedMax = 1000;

/** The data key of one writer, renewed from time to time. */
export class SealingKey {
  readonly #ring: KeyRing;
  readonly #renewMs: number;
  #current: DataKey | undefined;
  #madeAtMs = -Infinity;

  constructor(ring: KeyRing, renewEveryMs: number) {
    this.#ring = ring;
    this.#renewMs = renewEveryMs;
  }

  /** Throws what the ring throws, while there is no data key yet. A ring that is away later holds nothing up: the present data key is
   *  as good as it was. */
  async now(signal: AbortSignal): Promise<DataKey> {
    const nowMs = performance.now();
    if (this.#current && nowMs - this.#madeAtMs < this.#renewMs) return this.#current;
    this.#madeAtMs = nowMs;
    try {
      const key = randomBytes(keyBytes);
      this.#current = { key, wrapped: await this.#ring.wrap(key, signal), count: 0n };
    } catch (error) {
      if (!this.#current || !isCode(error, 'BROKER_KEY_UNREACHABLE')) throw error;
    }
    return this.#current;
  }
}

/** The data keys of what was read, each unwrapped once. */
export class OpeningKeys {
  readonly #ring: KeyRing;
  readonly #known = new Map<string, Buffer>();

  constructor(ring: KeyRing) {
    this.#ring = ring;
  }

  async of(wrapped: WrappedKey, signal: AbortSignal): Promise<Buffer> {
    const place = `${wrapped.key} ${wrapped.bytes.toString('latin1')}`;
    const known = this.#known.get(place);
    if (known) return known;
    const key = await this.#ring.unwrap(wrapped, signal);
    if (this.#known.size >= rememberedMax) this.#known.clear();
    this.#known.set(place, key);
    return key;
  }
}
