import { randomUUID } from 'node:crypto';
import type { Batch } from '../../change/change.ts';
import { decodeBatch, encodeBatch } from '../../change/codec.ts';
import { type Epoch, nextOffset, type Offset, offset, type Position } from '../../change/position.ts';
import { assert, ChangeoverError } from '../../error.ts';
import type { Broker, BrokerObservation, BrokerReader, Entry } from '../broker.ts';

/** A broker that lives as long as this process, for tests and simulation: as strict as the others, and nothing is durable. Batches pass
 *  through their bytes, so that nobody can rely on sharing an object with the other side. */
export interface MemoryBroker {
  readonly stream: string;
  /** Throws BROKER_LOCKED while another writer is open. */
  openWriter(): Broker;
  openReader(): BrokerReader;
  /** The same stream as it stands now, going its own way from here: what a crash at this moment would leave. */
  copy(): MemoryBroker;
}

interface Kept {
  readonly epoch: Epoch;
  readonly payload: Buffer;
}

/** What writer and readers share. */
interface Store {
  readonly stream: string;
  readonly kept: Kept[];
  first: Offset;
  epoch: Epoch | undefined;
  end: Position | undefined;
  hasWriter: boolean;
  readonly released: Map<string, Offset>;
  readonly wakes: Set<() => void>;
}

export function openMemoryBroker(): MemoryBroker {
  return over({
    stream: randomUUID(),
    kept: [],
    first: offset(0),
    epoch: undefined,
    end: undefined,
    hasWriter: false,
    released: new Map(),
    wakes: new Set(),
  });
}

const over = (store: Store): MemoryBroker => ({
  stream: store.stream,
  openWriter: () => openWriter(store),
  openReader: () => new MemoryReader(store),
  copy: () =>
    over({
      ...store,
      kept: [...store.kept],
      released: new Map(store.released),
      hasWriter: false,
      wakes: new Set(),
    }),
});

const nextOf = (store: Store): Offset => offset(store.first + store.kept.length);

function openWriter(store: Store): Broker {
  if (store.hasWriter) throw new ChangeoverError('BROKER_LOCKED', 'The memory broker has a writer');
  store.hasWriter = true;
  let closed = false;
  return {
    stream: store.stream,
    async append(epoch: Epoch, batch: Batch): Promise<Offset> {
      assert(!closed, 'Appended to a broker that was closed');
      if (store.epoch !== undefined && epoch < store.epoch)
        throw new ChangeoverError('EPOCH_FENCED', `Epoch ${epoch} appended to a stream of epoch ${store.epoch}`);
      const at = nextOf(store);
      store.kept.push({ epoch, payload: encodeBatch(batch) });
      store.epoch = epoch;
      store.end = batch.end ?? store.end;
      for (const wake of store.wakes) wake();
      return at;
    },
    async tail() {
      return store.end;
    },
    async isEmpty() {
      return nextOf(store) === 0;
    },
    async [Symbol.asyncDispose]() {
      if (!closed) store.hasWriter = false;
      closed = true;
    },
  };
}

class MemoryReader implements BrokerReader {
  readonly stream: string;
  readonly #store: Store;
  readonly #closing = new AbortController();

  constructor(store: Store) {
    this.stream = store.stream;
    this.#store = store;
  }

  async *read(from: Offset, signal: AbortSignal): AsyncGenerator<Entry, void> {
    const store = this.#store;
    const stop = AbortSignal.any([signal, this.#closing.signal]);
    if (from > nextOf(store)) throw new ChangeoverError('BROKER_GAP', `Entry ${from} is behind the end`);
    for (let at = from; !stop.aborted; ) {
      if (at < store.first) throw new ChangeoverError('BROKER_GAP', `Entry ${at} was trimmed away`);
      const kept = store.kept[at - store.first];
      if (!kept) {
        await appended(store, stop);
        continue;
      }
      yield { offset: at, epoch: kept.epoch, batch: decodeBatch(kept.payload) };
      at = nextOffset(at);
    }
  }

  /** Trims at once what every consumer has released. */
  async release(consumer: string, from: Offset): Promise<void> {
    const store = this.#store;
    store.released.set(consumer, from);
    const needed = Math.min(nextOf(store), ...store.released.values());
    if (needed <= store.first) return;
    store.kept.splice(0, needed - store.first);
    store.first = offset(needed);
  }

  async observe(): Promise<BrokerObservation> {
    const { stream, first, epoch, end, kept } = this.#store;
    const bytesFrom = (from: Offset): number =>
      kept.slice(Math.max(0, from - first)).reduce((sum, { payload }) => sum + payload.length, 0);
    return {
      stream,
      first,
      next: nextOf(this.#store),
      bytes: bytesFrom(first),
      epoch,
      end,
      bytesFrom: async (from) => bytesFrom(from),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
  }
}

/** Resolves at the next append, or once `signal` aborts. Nothing can come between a look at the store and this call: no await does. */
async function appended(store: Store, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  store.wakes.add(wake);
  signal.addEventListener('abort', wake, { once: true });
  await promise;
  store.wakes.delete(wake);
  signal.removeEventListener('abort', wake);
}
