import { setImmediate as turn } from 'node:timers/promises';
import type { Carried, Carrier, Extent, Retention } from '../../src/broker/carrier.ts';
import type { Offset } from '../../src/change/position.ts';

/** What a server would hold: whoever writes, it takes everything, in the order in which it comes. */
export class MemoryServer {
  first = 0;
  records: Buffer[] = [];
  notes = new Map<string, Offset>();
  hasWriter = false;

  copy(): MemoryServer {
    const copy = new MemoryServer();
    copy.first = this.first;
    copy.records = [...this.records];
    copy.notes = new Map(this.notes);
    return copy;
  }
}

export class MemoryCarrier implements Carrier {
  readonly name = 'memory';
  readonly isFenced = false;
  readonly behindMsMax = 0;
  readonly recordBytesMax = 20_000;
  readonly retention: Retention;
  readonly #server: MemoryServer;
  readonly #left: () => void;
  /** While it does not resolve, what is published is on its way. */
  held: Promise<void> = Promise.resolve();

  constructor(server: MemoryServer, left: () => void = () => undefined) {
    this.#server = server;
    this.#left = left;
    this.retention = {
      note: async (consumer, from) => void server.notes.set(consumer, from),
      notes: async () => server.notes,
      trim: async (place) => {
        server.records.splice(0, place - server.first);
        server.first = place;
      },
    };
  }

  async publish(records: readonly Buffer[]): Promise<readonly number[]> {
    await this.held;
    return records.map((record) => this.#server.first + this.#server.records.push(record) - 1);
  }

  async *read(from: number, signal: AbortSignal): AsyncGenerator<Carried, void> {
    for (let place = from; !signal.aborted; ) {
      const one = await this.at(place);
      if (!one) await turn();
      else {
        yield one;
        place = one.place + 1;
      }
    }
  }

  async at(place: number): Promise<Carried | undefined> {
    const from = Math.max(place, this.#server.first);
    const bytes = this.#server.records[from - this.#server.first];
    return bytes && { place: from, bytes };
  }

  async extent(): Promise<Extent> {
    const { first, records } = this.#server;
    return { first, next: first + records.length };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#left();
  }
}
