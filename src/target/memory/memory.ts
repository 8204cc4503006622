import type { Change } from '../../change/change.ts';
import { changesOf, type Net } from '../../change/net.ts';
import { assert, ChangeoverError } from '../../error.ts';
import type { Checkpoint, Target, TargetTransaction } from '../target.ts';
import { type Order, State } from './state.ts';

/** A target that lives as long as this process, for tests and simulation: as strict as the others. */
export interface MemoryTarget {
  /** Throws TARGET_BUSY while another writer is open. */
  open(): Target;
  /** What everybody sees: all that was committed. Whoever writes to it is a stranger at the secondary. */
  readonly seen: State;
  /** What a crash at this moment would leave: all that was flushed. Who has it open is cut off. */
  crash(): void;
}

export function openMemoryTarget(): MemoryTarget {
  let seen = new State();
  let durable = new State();
  let writer: MemoryWriter | undefined;
  return {
    get seen() {
      return seen;
    },
    open() {
      if (writer?.isOpen) throw new ChangeoverError('TARGET_BUSY', 'The memory target has a writer');
      writer = new MemoryWriter({
        seen: () => seen,
        commit: (next) => {
          seen = next;
        },
        flush: () => {
          durable = new State(seen);
        },
      });
      return writer;
    },
    crash() {
      writer?.cut();
      seen = new State(durable);
    },
  };
}

interface Store {
  readonly seen: () => State;
  readonly commit: (next: State) => void;
  readonly flush: () => void;
}

class MemoryWriter implements Target {
  readonly #store: Store;
  #known: Checkpoint | undefined;
  #life: 'open' | 'cut' | 'closed' = 'open';

  constructor(store: Store) {
    this.#store = store;
    this.#known = store.seen().checkpoint;
  }

  get isOpen(): boolean {
    return this.#life === 'open';
  }

  cut(): void {
    if (this.#life === 'open') this.#life = 'cut';
  }

  async checkpoint(signal: AbortSignal): Promise<Checkpoint | undefined> {
    this.#reach(signal);
    this.#known = this.#store.seen().checkpoint;
    return this.#known;
  }

  prepare(): void {
    // Nothing here takes time.
  }

  async begin(signal: AbortSignal): Promise<TargetTransaction> {
    this.#reach(signal);
    return new MemoryTransaction({
      from: this.#store.seen(),
      reach: () => this.#reach(signal),
      commit: (next, checkpoint) => this.#commit(next, checkpoint),
    });
  }

  async flush(): Promise<void> {
    this.#reach();
    this.#store.flush();
  }

  /** Nobody can look into it but through `seen`. */
  async show(): Promise<void> {
    this.#reach();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life = 'closed';
  }

  #reach(signal?: AbortSignal): void {
    signal?.throwIfAborted();
    assert(this.#life !== 'closed', 'A target was used after it was closed');
    if (this.#life === 'cut') throw new ChangeoverError('TARGET_UNREACHABLE', 'The memory target crashed');
  }

  #commit(next: State, checkpoint: Checkpoint): void {
    const { checkpoint: there } = this.#store.seen();
    if (there?.offset !== this.#known?.offset || there?.stream !== this.#known?.stream)
      throw new ChangeoverError('TARGET_STALE', 'The checkpoint is not the one that we continue from');
    next.checkpoint = checkpoint;
    // While a copy is not whole, rows are missing that nobody took away.
    if (checkpoint.position === undefined) next.drifted = this.#store.seen().drifted;
    this.#known = checkpoint;
    this.#store.commit(next);
  }
}

interface TransactionOptions {
  readonly from: State;
  readonly reach: () => void;
  readonly commit: (next: State, checkpoint: Checkpoint) => void;
}

class MemoryTransaction implements TargetTransaction {
  readonly #options: TransactionOptions;
  #state: State;
  #done = false;

  constructor(options: TransactionOptions) {
    this.#options = options;
    this.#state = new State(options.from);
  }

  async write(changes: readonly Change[]): Promise<void> {
    this.#write(changes, 'kept');
  }

  async writeNet(net: Net): Promise<void> {
    this.#write([...changesOf(net)], 'net');
  }

  #write(changes: readonly Change[], order: Order): void {
    this.#use();
    // To a copy: what trips is undone by forgetting it.
    const next = new State(this.#state);
    next.write(changes, order);
    this.#state = next;
  }

  async commit(checkpoint: Checkpoint): Promise<void> {
    this.#use();
    this.#done = true;
    this.#options.commit(this.#state, checkpoint);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#done = true;
  }

  #use(): void {
    assert(!this.#done, 'A target transaction was used after its end');
    this.#options.reach();
  }
}
