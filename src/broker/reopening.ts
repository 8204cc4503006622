import type { Batch } from '../change/change.ts';
import type { Epoch, Offset, Position } from '../change/position.ts';
import { assert, ChangeoverError } from '../error.ts';
import type { Broker } from './broker.ts';

/** A broker whose server may be away: opened anew by each question how far the stream is. What was being appended when something failed is
 *  there or not; nothing more is taken until the caller has asked, or an entry could be left out unseen. And who was asleep for a while may have been
 *  followed by another writer: what we knew of the stream's end says nothing then. */
export class ReopeningBroker implements Broker {
  readonly #open: (signal: AbortSignal) => Promise<Broker>;
  readonly #signal: AbortSignal;
  #broker: Broker | undefined;
  #failed = false;
  #isTold = false;

  constructor(open: (signal: AbortSignal) => Promise<Broker>, signal: AbortSignal) {
    this.#open = open;
    this.#signal = signal;
  }

  get stream(): string {
    assert(this.#broker !== undefined, 'A broker is asked for its stream before it was opened');
    return this.#broker.stream;
  }

  async append(epoch: Epoch, batch: Batch): Promise<Offset> {
    if (!this.#broker || this.#failed)
      throw new ChangeoverError(
        'BROKER_UNREACHABLE',
        'The broker failed before, and was not asked since how far it is',
      );
    try {
      return await this.#broker.append(epoch, batch);
    } catch (error) {
      this.#failed = true;
      throw error;
    }
  }

  async tail(): Promise<Position | undefined> {
    if (this.#isTold) await this[Symbol.asyncDispose]();
    const tail = await (await this.#opened()).tail();
    this.#isTold = true;
    return tail;
  }

  async isEmpty(): Promise<boolean> {
    return (await this.#opened()).isEmpty();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const broker = this.#broker;
    this.#broker = undefined;
    await broker?.[Symbol.asyncDispose]();
  }

  async #opened(): Promise<Broker> {
    if (this.#failed) await this[Symbol.asyncDispose]();
    if (!this.#broker) {
      this.#isTold = false;
      this.#broker = await this.#open(this.#signal);
    }
    this.#failed = false;
    return this.#broker;
  }
}
