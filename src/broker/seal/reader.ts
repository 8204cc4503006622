import type { Offset } from '../../change/position.ts';
import type { BrokerObservation, BrokerReader, Entry } from '../broker.ts';
import type { KeyRing } from '../key-ring.ts';
import { OpeningKeys } from './data-keys.ts';
import { Opener } from './open.ts';

/** Opens what a broker holds sealed. Takes `reader` over. What `observe` says remains the broker's word: only entries prove anything. */
export const openSealedReader = (reader: BrokerReader, ring: KeyRing): BrokerReader => new SealedReader(reader, ring);

class SealedReader implements BrokerReader {
  readonly stream: string;
  readonly #reader: BrokerReader;
  readonly #keys: OpeningKeys;

  constructor(reader: BrokerReader, ring: KeyRing) {
    this.stream = reader.stream;
    this.#reader = reader;
    this.#keys = new OpeningKeys(ring);
  }

  /** As the port says; besides, throws BROKER_TAMPERED, BROKER_NOT_SEALED, BROKER_KEY_MISSING, and what the ring throws. */
  async *read(from: Offset, signal: AbortSignal): AsyncGenerator<Entry, void> {
    const opener = new Opener(this.stream, this.#keys);
    for await (const entry of this.#reader.read(from, signal)) {
      let opened: Entry;
      try {
        opened = await opener.open(entry, signal);
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      yield opened;
    }
  }

  release(consumer: string, from: Offset): Promise<void> {
    return this.#reader.release(consumer, from);
  }

  observe(): Promise<BrokerObservation> {
    return this.#reader.observe();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
  }
}
