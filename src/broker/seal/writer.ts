import { createCipheriv } from 'node:crypto';
import type { Batch } from '../../change/change.ts';
import { batchBytes, encodeBatch } from '../../change/codec.ts';
import { type Epoch, nextOffset, type Offset, offset, type Position } from '../../change/position.ts';
import { assert, ChangeoverError } from '../../error.ts';
import type { Broker, BrokerReader } from '../broker.ts';
import type { KeyRing } from '../key-ring.ts';
import { compress } from './compression.ts';
import { OpeningKeys, renewMs, SealingKey } from './data-keys.ts';
import { encodeEnvelope, encodeHead, linkOf, noLink, nonceOf } from './envelope.ts';
import { lastEntry } from './last-entry.ts';
import { Opener } from './open.ts';

/** What is sealed before it is appended at once: at the most what every broker takes as one group of its own, whole or not at all. */
const groupBytesMax = 2 * 1024 * 1024;

export interface SealedBrokerOptions {
  /** What carries the sealed batches. Disposed with us. */
  readonly broker: Broker;
  /** Opens the same stream for reading. */
  readonly openReader: (signal: AbortSignal) => Promise<BrokerReader>;
  readonly ring: KeyRing;
  /** How long a data key is used. Default 10 min. */
  readonly renewEveryMs?: number;
}

/** How far the stream is, by what its last entry proves. */
interface Standing {
  readonly next: Offset;
  readonly link: Buffer;
  readonly epoch: Epoch | undefined;
  readonly tail: Position | undefined;
}

/** Writes batches that only the ring's keys open. Takes the broker over, also when it throws: whatever the opening of the last entry
 *  throws (BROKER_TAMPERED, BROKER_NOT_SEALED, BROKER_KEY_MISSING), BROKER_GAP where there were entries and none is left to follow. */
export async function openSealedBroker(options: SealedBrokerOptions, signal: AbortSignal): Promise<Broker> {
  const { broker, openReader, ring, renewEveryMs = renewMs } = options;
  await using opened = new AsyncDisposableStack();
  opened.use(broker);
  const standing = await standingOf(broker, openReader, ring, signal);
  const key = new SealingKey(ring, renewEveryMs);
  // A ring that cannot be asked is told at once, not with the first change.
  await key.now(signal);
  opened.move();
  return new SealedBroker(broker, key, standing);
}

/** The broker's own word for how far it is proves nothing: the last entry does. */
async function standingOf(
  broker: Broker,
  openReader: SealedBrokerOptions['openReader'],
  ring: KeyRing,
  signal: AbortSignal,
): Promise<Standing> {
  if (await broker.isEmpty()) return { next: offset(0), link: noLink, epoch: undefined, tail: undefined };
  await using reader = await openReader(signal);
  const last = await lastEntry(reader, signal);
  const { batch, seal } = await new Opener(broker.stream, new OpeningKeys(ring)).open(last, signal);
  // A piece has no end of its own, and begins where the last transaction before it ended.
  return { next: nextOffset(last.offset), link: seal.link, epoch: last.epoch, tail: batch.end ?? batch.after };
}

interface Waiting {
  readonly epoch: Epoch;
  readonly batch: Batch;
  readonly resolve: (offset: Offset) => void;
  readonly reject: (error: unknown) => void;
}

class SealedBroker implements Broker {
  readonly stream: string;
  readonly #broker: Broker;
  readonly #key: SealingKey;
  /** What is asked of a key service inside an append is asked to its end. */
  readonly #unhurried = new AbortController().signal;
  readonly #waiting: Waiting[] = [];
  /** All up to here is durable. */
  #standing: Standing;
  #draining: Promise<void> | undefined;
  #closed = false;

  constructor(broker: Broker, key: SealingKey, standing: Standing) {
    this.stream = broker.stream;
    this.#broker = broker;
    this.#key = key;
    this.#standing = standing;
  }

  /** Appends at once are kept in the order of their calls. Throws EPOCH_FENCED, what the broker throws, what the ring throws. */
  async append(epoch: Epoch, batch: Batch): Promise<Offset> {
    assert(!this.#closed, 'Appended to a sealed broker that was closed');
    const { promise, resolve, reject } = Promise.withResolvers<Offset>();
    this.#waiting.push({ epoch, batch, resolve, reject });
    this.#draining ??= this.#drain();
    return promise;
  }

  async tail(): Promise<Position | undefined> {
    return this.#standing.tail;
  }

  async isEmpty(): Promise<boolean> {
    return this.#standing.next === 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#draining;
    await this.#broker[Symbol.asyncDispose]();
  }

  async #drain(): Promise<void> {
    // One turn of patience lets a burst of calls into the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#commit(group);
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.#draining = undefined;
  }

  /** The next ones that go together, without those that are fenced off: what the broker refuses would leave those behind it, which are
   *  sealed already, at another place than theirs. */
  #takeGroup(): readonly Waiting[] {
    const group: Waiting[] = [];
    let { epoch } = this.#standing;
    let bytes = 0;
    let taken = 0;
    for (const one of this.#waiting) {
      const more = batchBytes(one.batch);
      if (taken > 0 && bytes + more > groupBytesMax) break;
      taken += 1;
      if (epoch !== undefined && one.epoch < epoch) {
        one.reject(new ChangeoverError('EPOCH_FENCED', `Epoch ${one.epoch} appended to a stream of epoch ${epoch}`));
        continue;
      }
      epoch = one.epoch;
      bytes += more;
      group.push(one);
    }
    this.#waiting.splice(0, taken);
    return group;
  }

  /** Seals each for the place behind the one before, and appends them at once. The group before is there, or gone for good: only so is
   *  the place known. */
  async #commit(group: readonly Waiting[]): Promise<void> {
    let standing = this.#standing;
    const sealed: { readonly one: Waiting; readonly batch: Batch; readonly after: Standing }[] = [];
    for (const one of group) {
      const { after, starts, end } = one.batch;
      const envelope = await this.#sealed(one, standing);
      const { next, tail } = standing;
      standing = { next: nextOffset(next), link: linkOf(envelope), epoch: one.epoch, tail: end ?? tail };
      sealed.push({ one, batch: { after, starts, changes: [{ kind: 'sealed', envelope }], end }, after: standing });
    }
    const appended = await Promise.allSettled(sealed.map(({ one, batch }) => this.#broker.append(one.epoch, batch)));
    for (const [index, result] of appended.entries()) {
      const entry = sealed[index];
      if (!entry) continue;
      if (result.status === 'rejected') {
        entry.one.reject(result.reason);
        continue;
      }
      assert(
        result.value === this.#standing.next,
        `An entry sealed as ${this.#standing.next} was put at ${result.value}`,
      );
      this.#standing = entry.after;
      entry.one.resolve(result.value);
    }
  }

  async #sealed({ epoch, batch }: Waiting, { next, link }: Standing): Promise<Buffer> {
    const plain = encodeBatch(batch);
    const compressed = await compress(plain);
    const dataKey = await this.#key.now(this.#unhurried);
    const { key, wrapped, count } = dataKey;
    // Before it is used: a count may be left out, and never comes twice, whatever becomes of the append.
    dataKey.count += 1n;
    const head = encodeHead({ stream: this.stream, offset: next, epoch, wrapped, count, previous: link });
    const cipher = createCipheriv('aes-256-gcm', key, nonceOf(count));
    cipher.setAAD(head);
    const sealed = [cipher.update(compressed), cipher.final()];
    return encodeEnvelope(head, sealed, cipher.getAuthTag());
  }
}
