import { randomUUID } from 'node:crypto';
import type { Batch } from '../change/change.ts';
import { encodeBatch } from '../change/codec.ts';
import { type Epoch, type Offset, offset, type Position } from '../change/position.ts';
import { assert, ChangeoverError, isCode } from '../error.ts';
import type { Broker } from './broker.ts';
import type { Carrier } from './carrier.ts';
import { between, decoded, findEnd, findStart } from './find.ts';
import { pack } from './pack.ts';
import { emptyState, encodeRecord, type PackedEntry, type StreamState } from './record.ts';

/** Bytes that share one answer of the server: enough that its way there and back vanishes, few enough to hold twice. */
const groupBytesMax = 4 * 1024 * 1024;
/** Records on their way at the same time, where the server takes each only behind the one before it. Elsewhere it is one by one: if
 *  the first of two were lost and the second not, there would be a hole; and the writer looks after each whether it was followed. */
const recordsAtOnceMax = 8;
/** How often what is released is trimmed. */
const trimMs = 60_000;

interface Waiting extends PackedEntry {
  readonly resolve: (offset: Offset) => void;
  readonly reject: (error: unknown) => void;
}

/** Begins a term at the server: from here on what another writer still sends counts for nothing. Takes the carrier over, also when it
 *  throws: BROKER_LOCKED, BROKER_UNREACHABLE, BROKER_GAP, BROKER_CORRUPT. */
export async function openCarriedBroker(carrier: Carrier, signal: AbortSignal): Promise<Broker> {
  await using opened = new AsyncDisposableStack();
  opened.use(carrier);
  const { extent, sieve } = await findEnd(carrier, signal);
  const term = sieve.term + 1;
  const claim = { kind: 'claim', stream: sieve.stream ?? randomUUID(), term, writer: randomUUID() } as const;
  const before = sieve.state ?? emptyState;
  const [place] = await carrier.publish([encodeRecord({ ...claim, before })], extent.next);
  assert(place !== undefined, 'A record without a place');
  // What others brought in between: only with that the claim's own place is known for what it is.
  for await (const one of between(carrier, { first: extent.next, next: place }, signal))
    sieve.take(decoded(carrier, one), one.place);
  if (sieve.term >= term) throw lost(carrier);
  sieve.take({ ...claim, before }, place);
  const state = sieve.state ?? emptyState;
  const broker = new CarriedBroker({ carrier, stream: sieve.stream ?? claim.stream, term, next: place + 1, state });
  opened.move();
  try {
    await broker.begin();
  } catch (error) {
    await broker[Symbol.asyncDispose]();
    throw error;
  }
  return broker;
}

const lost = (carrier: Carrier): ChangeoverError =>
  new ChangeoverError('BROKER_LOCKED', `Another process has begun to write to ${carrier.name}`, {
    hint: 'Only one process may capture into a stream. Stop the other one, or leave it the work.',
  });

interface CarriedBrokerParts {
  readonly carrier: Carrier;
  readonly stream: string;
  readonly term: number;
  readonly next: number;
  readonly state: StreamState;
}

class CarriedBroker implements Broker {
  readonly stream: string;
  readonly #carrier: Carrier;
  readonly #term: number;
  readonly #waiting: Waiting[] = [];
  /** What is asked of the server inside an append is asked to its end: cut short, it would look like an answer. */
  readonly #unhurried = new AbortController().signal;
  /** The place that our next record gets if nobody else writes. */
  #next: number;
  /** All up to here is durable. */
  #state: StreamState;
  /** After a failure nobody knows what the server holds: nothing goes on before it was asked, by opening anew. */
  #failure: unknown;
  #draining: Promise<void> | undefined;
  #closed = false;
  #trimmedAtMs = -Infinity;

  constructor({ carrier, stream, term, next, state }: CarriedBrokerParts) {
    this.#carrier = carrier;
    this.stream = stream;
    this.#term = term;
    this.#next = next;
    this.#state = state;
  }

  /** Call it once, before anything else. Its record tells exactly how far the stream is, which the claim could not. */
  async begin(): Promise<void> {
    await this.#publish([
      encodeRecord({ kind: 'entries', stream: this.stream, term: this.#term, before: this.#state, entries: [] }),
    ]);
    await this.#trim();
  }

  /** Appends at once are kept in the order of their calls and share records. Throws EPOCH_FENCED; BROKER_LOCKED: another writer has
   *  followed us; BROKER_UNREACHABLE and others of the carrier: whether it is there is unknown, and this broker takes nothing more. */
  async append(epoch: Epoch, batch: Batch): Promise<Offset> {
    assert(!this.#closed, 'Appended to a broker that was closed');
    // Nothing may be awaited before the push: the order of the queue is the order of the calls.
    const { promise, resolve, reject } = Promise.withResolvers<Offset>();
    this.#waiting.push({ epoch, end: batch.end, payload: encodeBatch(batch), resolve, reject });
    this.#draining ??= this.#drain();
    return promise;
  }

  async tail(): Promise<Position | undefined> {
    return this.#state.end;
  }

  async isEmpty(): Promise<boolean> {
    return this.#state.next === 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#draining;
    await this.#carrier[Symbol.asyncDispose]();
  }

  async #drain(): Promise<void> {
    // One turn of patience lets a burst of calls into the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      const first = this.#state.next;
      try {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#commit(group);
        for (const [index, { resolve }] of group.entries()) resolve(offset(first + index));
      } catch (error) {
        this.#failure ??= error;
        const failure = await this.#explained(error, group);
        for (const { reject } of group) reject(failure);
      }
    }
    this.#draining = undefined;
  }

  /** The next ones that go together, without those that are fenced off. */
  #takeGroup(): readonly Waiting[] {
    const group: Waiting[] = [];
    let { epoch } = this.#state;
    let bytes = 0;
    let taken = 0;
    for (const one of this.#waiting) {
      if (taken > 0 && bytes + one.payload.length > groupBytesMax) break;
      taken += 1;
      if (epoch !== undefined && one.epoch < epoch) {
        one.reject(fenced(one.epoch, epoch));
        continue;
      }
      epoch = one.epoch;
      bytes += one.payload.length;
      group.push(one);
    }
    this.#waiting.splice(0, taken);
    return group;
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    const { recordBytesMax } = this.#carrier;
    const { records, after } = pack(group, {
      stream: this.stream,
      term: this.#term,
      before: this.#state,
      recordBytesMax,
    });
    const atOnce = this.#carrier.isFenced ? recordsAtOnceMax : 1;
    for (let done = 0; done < records.length; done += atOnce) await this.#publish(records.slice(done, done + atOnce));
    this.#state = after;
    if (performance.now() - this.#trimmedAtMs >= trimMs) await this.#trim();
  }

  /** Throws BROKER_LOCKED when a newer claim came before any of the records: then readers pass over them. */
  async #publish(records: readonly Buffer[]): Promise<void> {
    const places = await this.#carrier.publish(records, this.#next);
    const last = places.at(-1);
    assert(last !== undefined && places.length === records.length, 'A record without a place');
    const first = this.#next;
    this.#next = last + 1;
    if (last === first + records.length - 1) return;
    // Others wrote, too: strays of a writer that we followed, or the claim of one that follows us.
    for await (const one of between(this.#carrier, { first, next: last }, this.#unhurried)) {
      const record = decoded(this.#carrier, one);
      if (record.kind === 'claim' && record.term > this.#term) throw lost(this.#carrier);
    }
  }

  /** Who was followed under a newer epoch is told so. */
  async #explained(failure: unknown, group: readonly Waiting[]): Promise<unknown> {
    const ours = group.at(-1)?.epoch;
    if (!isCode(failure, 'BROKER_LOCKED') || ours === undefined) return failure;
    const end = await findEnd(this.#carrier, this.#unhurried).catch(() => undefined);
    const leads = end?.state.epoch;
    return leads !== undefined && ours < leads ? fenced(ours, leads) : failure;
  }

  /** Lets the server forget what every consumer has released. */
  async #trim(): Promise<void> {
    const { retention } = this.#carrier;
    this.#trimmedAtMs = performance.now();
    if (!retention) return;
    const released = [...(await retention.notes()).values()];
    if (released.length === 0) return;
    const needed = offset(Math.min(this.#state.next, ...released));
    const extent = await this.#carrier.extent();
    const { warmFrom } = await findStart(this.#carrier, needed, extent);
    if (warmFrom > extent.first) await retention.trim(warmFrom);
  }
}

const fenced = (ours: Epoch, leads: Epoch): ChangeoverError =>
  new ChangeoverError('EPOCH_FENCED', `Epoch ${ours} appended to a stream of epoch ${leads}`);
