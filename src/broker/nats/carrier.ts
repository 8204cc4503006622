import { type Offset, offset } from '../../change/position.ts';
import { ChangeoverError } from '../../error.ts';
import type { Broker } from '../broker.ts';
import { type CarriedReader, openCarriedReader } from '../carried-reader.ts';
import { openCarriedBroker } from '../carried-writer.ts';
import type { Carried, Carrier, Extent, Retention } from '../carrier.ts';
import { connectNats, isNotFound, type Nats, type NatsPlace, natsFailure } from './connect.ts';

/* A stream of JetStream as a carrier. Its sequence numbers begin with 1, our places with 0.

   <stream>            subject changeover.<stream>.records          the records
   <stream>_released   subjects changeover.<stream>.released.*      what each consumer has released, its last word only
                       subject changeover.<stream>.writer           a living writer answers here: no stream            */

const recordsSubject = (stream: string): string => `changeover.${stream}.records`;
const releasedSubject = (stream: string): string => `changeover.${stream}.released`;
const writerSubject = (stream: string): string => `changeover.${stream}.writer`;
const notesOf = (stream: string): string => `${stream}_released`;

/** A record larger than this gains nothing, and the server would hold it in memory as a whole. */
const recordBytesMax = 512 * 1024;
/** What a slow reader holds at the most: 16 MiB of the largest records. Not told in bytes: then the client asks for no more than 100
 *  records, too, and waits behind the last of them for bytes that the server owes no more, until it misses its heartbeats. */
const fetchRecordsMax = 32;
/** A request for more that stays unanswered is asked again. */
const fetchMs = 30_000;
/** A reader that asks for nothing in so long is forgotten by the server, and makes itself known anew. */
const forgottenMs = 60_000;
/** A writer that lives answers within this; one that does not is followed, and fenced off by the server. */
const writerAnswersMs = 2000;

/** Throws BROKER_LOCKED while another writer is at work, BROKER_UNREACHABLE, BROKER_LOGIN_REFUSED, BROKER_UNSUITABLE. */
export async function openNatsBroker(place: NatsPlace, signal: AbortSignal): Promise<Broker> {
  const nats = await connectNats(place);
  const carrier = new NatsCarrier(nats, place.stream);
  try {
    await carrier.begin();
    await carrier.holdWriter();
  } catch (error) {
    await carrier[Symbol.asyncDispose]();
    throw natsFailure(error, `Opening ${carrier.name}`);
  }
  return openCarriedBroker(carrier, signal);
}

/** Throws BROKER_EMPTY when there is no stream yet, BROKER_UNREACHABLE, BROKER_LOGIN_REFUSED, BROKER_UNSUITABLE. */
export async function openNatsReader(place: NatsPlace, signal: AbortSignal): Promise<CarriedReader> {
  return openCarriedReader(new NatsCarrier(await connectNats(place), place.stream), signal);
}

class NatsCarrier implements Carrier {
  readonly name: string;
  readonly isFenced = true;
  readonly behindMsMax = 0;
  readonly recordBytesMax: number;
  readonly retention: Retention = {
    note: (consumer, from) => this.#note(consumer, from),
    notes: () => this.#notes(),
    trim: (place) => this.#trim(place),
  };
  readonly #nats: Nats;
  readonly #stream: string;

  constructor(nats: Nats, stream: string) {
    this.#nats = nats;
    this.#stream = stream;
    this.name = `stream ${stream} of NATS`;
    // The server counts the headers in, among them the expected sequence.
    this.recordBytesMax = Math.min(recordBytesMax, (nats.connection.info?.max_payload ?? recordBytesMax) - 1024);
  }

  /** Makes the streams unless they are there: one that an operator made, with more replicas, stays as it is. */
  async begin(): Promise<void> {
    const records = { name: this.#stream, subjects: [recordsSubject(this.#stream)] };
    const notes = {
      name: notesOf(this.#stream),
      subjects: [`${releasedSubject(this.#stream)}.>`],
      max_msgs_per_subject: 1,
    };
    for (const config of [records, notes]) {
      const found = await orMissing(this.#nats.manager.streams.info(config.name));
      if (found) continue;
      const limits = { storage: 'file', retention: 'limits', discard: 'old' } as const;
      await this.#nats.manager.streams.add({ ...limits, ...config });
    }
  }

  /** Throws BROKER_LOCKED when a writer answers. One that is gone has no connection that could. */
  async holdWriter(): Promise<void> {
    const { connection } = this.#nats;
    const subject = writerSubject(this.#stream);
    const answer = await connection
      .request(subject, undefined, { timeout: writerAnswersMs })
      .then(() => true)
      .catch(() => false);
    if (answer) {
      throw new ChangeoverError('BROKER_LOCKED', `Another process writes to ${this.name}`, {
        hint: 'Only one process may capture into a stream. Stop the other one first.',
      });
    }
    connection.subscribe(subject, { callback: (_error, message) => void message.respond() });
    await connection.flush();
  }

  async publish(records: readonly Buffer[], expected: number): Promise<readonly number[]> {
    const subject = recordsSubject(this.#stream);
    // One after the other onto the wire: the server takes each only behind the one before it, and so all up to the first that fails.
    const answers = await Promise.allSettled(
      records.map((record, index) =>
        this.#nats.client.publish(subject, record, { expect: { lastSequence: expected + index } }),
      ),
    );
    return answers.map((answer) => {
      if (answer.status === 'rejected') throw natsFailure(answer.reason, `Writing to ${this.name}`);
      return answer.value.seq - 1;
    });
  }

  async *read(from: number, signal: AbortSignal): AsyncGenerator<Carried, void> {
    let place = from;
    try {
      while (!signal.aborted) {
        for await (const carried of this.#consume(place, signal)) {
          yield carried;
          place = carried.place + 1;
        }
      }
    } catch (error) {
      if (!signal.aborted) throw natsFailure(error, `Reading ${this.name}`);
    }
  }

  /** Ends when the server has forgotten the consumer. */
  async *#consume(from: number, signal: AbortSignal): AsyncGenerator<Carried, void> {
    const { client, manager, connection } = this.#nats;
    const info = await manager.consumers.add(this.#stream, {
      ack_policy: 'none',
      deliver_policy: 'by_start_sequence',
      opt_start_seq: from + 1,
      mem_storage: true,
      inactive_threshold: forgottenMs * 1_000_000,
      num_replicas: 1,
    });
    const consumer = client.consumers.getConsumerFromInfo(info);
    try {
      while (!signal.aborted) {
        const messages = await consumer.fetch({ max_messages: fetchRecordsMax, expires: fetchMs });
        const stop = (): void => messages.stop();
        signal.addEventListener('abort', stop, { once: true });
        // A connection that ends does not end a fetch by itself.
        void connection.closed().then(stop);
        try {
          if (signal.aborted) return;
          for await (const message of messages) {
            yield { place: message.seq - 1, bytes: buffer(message.data) };
            if (signal.aborted) return;
          }
        } catch (error) {
          if (isForgotten(error)) return;
          throw error;
        } finally {
          stop();
          signal.removeEventListener('abort', stop);
        }
        if (connection.isClosed())
          throw new ChangeoverError('BROKER_UNREACHABLE', `The connection to ${this.name} broke`);
      }
    } finally {
      // Else the server forgets it by itself.
      if (!connection.isClosed()) await manager.consumers.delete(this.#stream, info.name).catch(() => undefined);
    }
  }

  async at(place: number): Promise<Carried | undefined> {
    const { first, next } = await this.extent();
    const wanted = Math.max(first, place);
    if (wanted >= next) return undefined;
    try {
      const found = await orMissing(this.#nats.manager.streams.getMessage(this.#stream, { seq: wanted + 1 }));
      if (found) return { place: found.seq - 1, bytes: buffer(found.data) };
    } catch (error) {
      throw natsFailure(error, `Reading ${this.name}`);
    }
    throw new ChangeoverError('BROKER_GAP', `${this.name} lacks record ${wanted}, between others`);
  }

  async extent(): Promise<Extent> {
    try {
      const found = await orMissing(this.#nats.manager.streams.info(this.#stream));
      if (!found) throw new ChangeoverError('BROKER_EMPTY', `There is no ${this.name}`);
      const { first_seq: first, last_seq: last } = found.state;
      return { first: Math.max(0, first - 1), next: last };
    } catch (error) {
      throw natsFailure(error, `Looking at ${this.name}`);
    }
  }

  async #note(consumer: string, from: Offset): Promise<void> {
    try {
      await this.#nats.client.publish(
        `${releasedSubject(this.#stream)}.${consumer}`,
        JSON.stringify({ released: from }),
      );
    } catch (error) {
      throw natsFailure(error, `Noting what ${consumer} has released`);
    }
  }

  async #notes(): Promise<ReadonlyMap<string, Offset>> {
    const { streams } = this.#nats.manager;
    const prefix = `${releasedSubject(this.#stream)}.`;
    const notes = new Map<string, Offset>();
    try {
      const { state } = await streams.info(notesOf(this.#stream), { subjects_filter: '>' });
      for (const subject of Object.keys(state.subjects ?? {})) {
        const found = await orMissing(streams.getMessage(notesOf(this.#stream), { last_by_subj: subject }));
        if (found) notes.set(subject.slice(prefix.length), releasedIn(found.string()));
      }
    } catch (error) {
      throw natsFailure(error, `Reading what was released of ${this.name}`);
    }
    return notes;
  }

  async #trim(place: number): Promise<void> {
    try {
      await this.#nats.manager.streams.purge(this.#stream, { seq: place + 1 });
    } catch (error) {
      throw natsFailure(error, `Trimming ${this.name}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nats[Symbol.asyncDispose]();
  }
}

/** What cannot be read counts as nothing released: it keeps more, never less. */
function releasedIn(text: string): Offset {
  try {
    const found: unknown = JSON.parse(text);
    const released = typeof found === 'object' && found !== null && 'released' in found ? found.released : undefined;
    return typeof released === 'number' ? offset(released) : offset(0);
  } catch {
    return offset(0);
  }
}

/** The client gives null, or throws, for what is not there. */
const orMissing = <T>(asked: Promise<T | null>): Promise<T | undefined> =>
  asked.then(
    (found) => found ?? undefined,
    (error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    },
  );

const forgottenNames: readonly string[] = ['ConsumerNotFoundError', 'NoRespondersError'];
const isForgotten = (error: unknown): boolean =>
  isNotFound(error) ||
  (error instanceof Error &&
    (forgottenNames.includes(error.name) || /no responders|consumer deleted/i.test(error.message)));

const buffer = (data: Uint8Array): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
