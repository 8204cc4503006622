import type { Broker, BrokerReader, Entry } from '../../src/broker/broker.ts';
import type { Batch } from '../../src/change/change.ts';
import { decodeBatch, encodeBatch } from '../../src/change/codec.ts';
import { type Epoch, nextOffset, type Offset, offset, type Position } from '../../src/change/position.ts';
import { ChangeoverError } from '../../src/error.ts';
import type { Checks } from './checks.ts';
import type { Process } from './process.ts';

interface Kept {
  readonly epoch: Epoch;
  readonly payload: Buffer;
  readonly end: Position | undefined;
}

export interface SimulatedLogOptions {
  readonly checks: Checks;
  /** A disk that says so before it is so. */
  readonly lies: boolean;
}

/** The embedded log of one machine, as its port promises it. An append is written, then synced; a killed process leaves what was written,
 *  a power cut only what was synced. */
export class SimulatedLog {
  readonly stream = 'simulated';
  readonly #checks: Checks;
  readonly #lies: boolean;
  #kept: Kept[] = [];
  #first = 0;
  /** Of entries that were trimmed. */
  #epochBefore: Epoch | undefined;
  #endBefore: Position | undefined;
  /** The first entry that a power cut may take. */
  #synced = 0;
  /** The first entry that readers do not get yet. */
  #visible = 0;
  #writer: Process | undefined;
  readonly #released = new Map<string, number>();
  readonly #wakes = new Set<() => void>();

  constructor({ checks, lies }: SimulatedLogOptions) {
    this.#checks = checks;
    this.#lies = lies;
  }

  get next(): number {
    return this.#first + this.#kept.length;
  }

  get visible(): number {
    return this.#visible;
  }

  openWriter(process: Process): Broker {
    if (this.#writer?.isAlive) throw new ChangeoverError('BROKER_LOCKED', 'The simulated log has a writer');
    this.#writer = process;
    // What a former writer left half done is whole or gone, and is synced before it is told to anybody.
    this.#show(this.next);
    let isClosed = false;
    return {
      stream: this.stream,
      append: (epoch, batch) => this.#append(process, { epoch, batch }),
      tail: async () => this.#end(this.next),
      isEmpty: async () => this.next === 0,
      [Symbol.asyncDispose]: async () => {
        if (!isClosed && this.#writer === process) this.#writer = undefined;
        isClosed = true;
      },
    };
  }

  openReader(process: Process): BrokerReader {
    const closing = new AbortController();
    return {
      stream: this.stream,
      read: (from, signal) => this.#read(process, from, AbortSignal.any([signal, closing.signal])),
      release: async (consumer, from) => {
        if (process.isAlive) this.release(process, consumer, from);
      },
      observe: async () => ({
        stream: this.stream,
        first: offset(this.#first),
        next: offset(this.#visible),
        bytes: 0,
        epoch: this.#kept.at(-1)?.epoch ?? this.#epochBefore,
        end: this.#end(this.#visible),
        bytesFrom: async () => 0,
      }),
      [Symbol.asyncDispose]: async () => closing.abort(),
    };
  }

  release(process: Process, consumer: string, from: number): void {
    this.#released.set(consumer, from);
    const needed = Math.min(this.#visible, ...this.#released.values());
    if (needed <= this.#first) return;
    const gone = this.#kept.splice(0, needed - this.#first);
    const [first, end] = [this.#first, this.#endBefore];
    this.#epochBefore = gone.at(-1)?.epoch;
    this.#first = needed;
    this.#endBefore = gone.findLast((kept) => kept.end !== undefined)?.end ?? end;
    process.machine.disk.gone(() => {
      this.#kept.unshift(...gone);
      [this.#first, this.#endBefore] = [first, end];
    });
  }

  knows(consumer: string): boolean {
    return this.#released.has(consumer);
  }

  /** What the power leaves: all that was synced, and of the rest a beginning. */
  losePower(process: Process): void {
    const { chance } = process.machine;
    const kept = chance.between(this.#synced, this.next);
    this.#kept.length = kept - this.#first;
    this.#visible = Math.min(this.#visible, kept);
  }

  #append(process: Process, { epoch, batch }: { epoch: Epoch; batch: Batch }): Promise<Offset> {
    const { scheduler, chance } = process.machine;
    const highest = this.#kept.at(-1)?.epoch ?? this.#epochBefore ?? epoch;
    if (epoch < highest)
      return Promise.reject(new ChangeoverError('EPOCH_FENCED', `Epoch ${epoch} in a log of epoch ${highest}`));
    const payload = encodeBatch(batch);
    return process.wait((resolve, reject) => {
      scheduler.after(chance.next(), () => {
        if (!process.isAlive) return;
        if (chance.is(0.001)) return reject(new ChangeoverError('BROKER_DISK_FULL', 'No space is left'));
        const at = this.next;
        this.#kept.push({ epoch, payload, end: batch.end });
        // A killed process does not keep the disk from it; a power cut does.
        scheduler.after(0.5 + 4 * chance.next(), () => {
          if (!process.isAlive) return;
          if (!this.#lies) this.#synced = at + 1;
          else scheduler.after(500, () => (this.#synced = Math.max(this.#synced, Math.min(at + 1, this.next))));
          this.#show(at + 1);
          resolve(offset(at));
        });
      });
    });
  }

  #show(next: number): void {
    if (!this.#lies) this.#synced = Math.max(this.#synced, next);
    for (; this.#visible < next; this.#visible += 1) {
      const kept = this.#kept[this.#visible - this.#first];
      if (kept)
        this.#checks.logged({ offset: offset(this.#visible), epoch: kept.epoch, batch: decodeBatch(kept.payload) });
    }
    for (const wake of this.#wakes) wake();
  }

  #end(next: number): Position | undefined {
    return this.#kept.slice(0, next - this.#first).findLast(({ end }) => end !== undefined)?.end ?? this.#endBefore;
  }

  async *#read(process: Process, from: Offset, signal: AbortSignal): AsyncGenerator<Entry, void> {
    if (from > this.#visible) throw new ChangeoverError('BROKER_GAP', `Entry ${from} is behind the end`);
    for (let at = from; !signal.aborted; ) {
      if (at < this.#first) throw new ChangeoverError('BROKER_GAP', `Entry ${at} was trimmed away`);
      const kept = at < this.#visible ? this.#kept[at - this.#first] : undefined;
      if (kept) {
        yield { offset: at, epoch: kept.epoch, batch: decodeBatch(kept.payload) };
        at = nextOffset(at);
      } else await this.#news(process, signal);
    }
  }

  async #news(process: Process, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { scheduler } = process.machine;
    const wake = (): void => scheduler.after(0, () => process.deliver(resolve));
    this.#wakes.add(wake);
    signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    this.#wakes.delete(wake);
  }
}
