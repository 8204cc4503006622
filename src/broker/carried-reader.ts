import { setTimeout as sleep } from 'node:timers/promises';
import { decodeBatch } from '../change/codec.ts';
import { type Offset, offset } from '../change/position.ts';
import { ChangeoverError, isCode } from '../error.ts';
import type { BrokerObservation, BrokerReader, Entry } from './broker.ts';
import type { Carrier, Extent } from './carrier.ts';
import { decoded, findEnd, findFirst, findStart } from './find.ts';
import { Sieve, type SiftedEntry } from './sieve.ts';

export interface CarriedReader extends BrokerReader {
  /** Makes a consumer known that has released nothing yet: what it needs is kept from now on. */
  enrol(consumer: string): Promise<void>;
}

/** Takes the carrier over, also when it throws: BROKER_EMPTY while nobody has begun the stream, BROKER_UNREACHABLE. */
export async function openCarriedReader(carrier: Carrier, signal: AbortSignal): Promise<CarriedReader> {
  await using opened = new AsyncDisposableStack();
  opened.use(carrier);
  const { stream } = (await findEnd(carrier, signal)).sieve;
  if (stream === undefined) throw new ChangeoverError('BROKER_EMPTY', `Nothing was ever written to ${carrier.name}`);
  opened.move();
  return new ReaderOfCarrier(carrier, stream);
}

/** How often a server that may be behind is asked again. */
const behindMs = 200;

class ReaderOfCarrier implements CarriedReader {
  readonly stream: string;
  readonly #carrier: Carrier;
  readonly #closing = new AbortController();

  constructor(carrier: Carrier, stream: string) {
    this.#carrier = carrier;
    this.stream = stream;
  }

  async *read(from: Offset, signal: AbortSignal): AsyncGenerator<Entry, void> {
    const stop = AbortSignal.any([signal, this.#closing.signal]);
    try {
      yield* this.#readFrom(from, stop);
    } catch (error) {
      // An abort cuts questions short, and no answer to them means anything then.
      if (!stop.aborted) throw error;
    }
  }

  async *#readFrom(from: Offset, stop: AbortSignal): AsyncGenerator<Entry, void> {
    if (stop.aborted) return;
    const untilMs = performance.now() + this.#carrier.behindMsMax;
    let { extent, state } = await findEnd(this.#carrier, stop);
    while (from > state.next && performance.now() < untilMs) {
      await sleep(behindMs, undefined, { signal: stop });
      ({ extent, state } = await findEnd(this.#carrier, stop));
    }
    if (from > state.next) throw gap(this.#carrier, from, `it ends before ${state.next}`);
    const { place, warmFrom } = await findStart(this.#carrier, from, extent);
    const found = yield* this.#readAt({ from, place, warmFrom }, stop);
    if (found) return;
    // Strays can mislead a search. All from the first record on cannot.
    const { first } = await this.#carrier.extent();
    if (!(yield* this.#readAt({ from, place: first, warmFrom: first }, stop)))
      throw gap(this.#carrier, from, `it begins with ${(await findFirst(this.#carrier, extent))?.offset ?? 'nothing'}`);
  }

  /** Returns false, before it gave any, when `from` is not there. */
  async *#readAt(
    { from, place, warmFrom }: { readonly from: Offset; readonly place: number; readonly warmFrom: number },
    stop: AbortSignal,
  ): AsyncGenerator<Entry, boolean> {
    const sieve = new Sieve(this.#carrier.name);
    let due: number = from;
    for await (const one of this.#carrier.read(warmFrom, stop)) {
      const record = decoded(this.#carrier, one);
      if (one.place < place) {
        sieve.warm(record, one.place);
        continue;
      }
      let entries: readonly SiftedEntry[];
      try {
        entries = sieve.take(record, one.place);
      } catch (error) {
        // Before the first entry it may be the search that was misled.
        if (due === from && isCode(error, 'BROKER_GAP')) return false;
        throw error;
      }
      if (sieve.state && sieve.stream !== this.stream)
        throw new ChangeoverError('BROKER_FOREIGN', `${this.#carrier.name} holds another stream now: ${sieve.stream}`);
      for (const { offset: at, epoch, payload } of entries) {
        if (at < from) continue;
        if (at !== due) return false;
        if (stop.aborted) return true;
        yield { offset: at, epoch, batch: decodeBatch(payload) };
        due = at + 1;
      }
      if (sieve.state && sieve.state.next > due) return false;
    }
    return true;
  }

  /** Only where we decide what the server forgets. */
  async release(consumer: string, from: Offset): Promise<void> {
    await this.#carrier.retention?.note(consumer, from);
  }

  async enrol(consumer: string): Promise<void> {
    const { retention } = this.#carrier;
    if (retention && !(await retention.notes()).has(consumer)) await retention.note(consumer, offset(0));
  }

  async observe(): Promise<BrokerObservation> {
    const { extent, state } = await findEnd(this.#carrier, this.#closing.signal);
    const first = (await findFirst(this.#carrier, extent)) ?? { offset: state.next, bytes: state.bytes };
    const { next, bytes, epoch, end } = state;
    return {
      stream: this.stream,
      first: first.offset,
      next,
      bytes: bytes - first.bytes,
      epoch,
      end,
      bytesFrom: async (from) => {
        if (from >= next) return 0;
        if (from <= first.offset) return bytes - first.bytes;
        return bytes - (await this.#bytesBefore(from, extent));
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    await this.#carrier[Symbol.asyncDispose]();
  }

  /** Bytes of all payloads before the entry `from`. */
  async #bytesBefore(from: Offset, extent: Extent): Promise<number> {
    const { place } = await findStart(this.#carrier, from, extent);
    const one = await this.#carrier.at(place);
    if (!one) return 0;
    const { before, ...record } = decoded(this.#carrier, one);
    if (record.kind === 'part') return before.bytes + (from > before.next ? record.wholeBytes : 0);
    const skipped = record.kind === 'entries' ? record.entries.slice(0, offset(from - before.next)) : [];
    return skipped.reduce((sum, { payload }) => sum + payload.length, before.bytes);
  }
}

const gap = (carrier: Carrier, from: Offset, why: string): ChangeoverError =>
  new ChangeoverError('BROKER_GAP', `Entry ${from} is not in ${carrier.name}: ${why}`);
