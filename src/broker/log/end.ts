import { closeSync, type FSWatcher, fstatSync, openSync, readSync, watch } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { assert, ChangeoverError } from '../../error.ts';
import { diskFailure, errnoOf } from './disk.ts';
import { endPath } from './folder.ts';
import { type DurableEnd, decodeEnd, framedBytesMax } from './format.ts';

/** How late a wake can be where the system does not tell of changes (network file systems, no inotify watch left). */
const pollMs = 50;
/** A record is caught half written for microseconds at most; one that stays so is damaged. */
const unreadableMsMax = 1000;

/** The durable end of a log that another process may be writing. */
export class EndWatch implements Disposable {
  readonly #path: string;
  readonly #stream: string;
  readonly #file: number;
  readonly #watcher: FSWatcher | undefined;
  readonly #wakes = new Set<() => void>();
  #bytes = Buffer.alloc(4096);
  #closed = false;

  constructor(path: string, stream: string, file: number, watcher: FSWatcher | undefined) {
    this.#path = path;
    this.#stream = stream;
    this.#file = file;
    this.#watcher = watcher;
    watcher?.on('change', () => this.#wake());
    // Polling goes on without it.
    watcher?.on('error', () => watcher.close());
  }

  /** Throws BROKER_CORRUPT, BROKER_FOREIGN, BROKER_EMPTY (the log was removed), BROKER_IO; the reason of `signal`. */
  async now(signal: AbortSignal): Promise<DurableEnd> {
    for (let waitedMs = 0; ; waitedMs += pollMs) {
      const end = this.#read();
      if (end) return end;
      if (waitedMs >= unreadableMsMax)
        throw new ChangeoverError('BROKER_CORRUPT', `${this.#path} does not say where the log ends`, {
          hint: 'Start the writer: it verifies the log and writes this file anew.',
        });
      await sleep(pollMs, undefined, { signal });
    }
  }

  /** Resolves once the end differs from `known`; with undefined once `signal` aborts. */
  async after(known: DurableEnd, signal: AbortSignal): Promise<DurableEnd | undefined> {
    while (!signal.aborted) {
      // Armed before the look, or what comes between the two is slept over.
      const { promise: woken, resolve } = Promise.withResolvers<void>();
      const wake = (): void => resolve();
      const timer = setTimeout(wake, pollMs);
      this.#wakes.add(wake);
      signal.addEventListener('abort', wake, { once: true });
      try {
        const end = await this.now(signal);
        if (end.state.next !== known.state.next || end.segment !== known.segment) return end;
        await woken;
      } catch (error) {
        if (signal.aborted) return undefined;
        throw error;
      } finally {
        clearTimeout(timer);
        this.#wakes.delete(wake);
        signal.removeEventListener('abort', wake);
      }
    }
    return undefined;
  }

  /** Synchronous on purpose: the record lies in the page cache, where reading it takes 1 µs and a trip through the thread pool 50. */
  #read(): DurableEnd | undefined {
    // Its number may name another file by now.
    assert(!this.#closed, 'Read from a log that was closed');
    let end: DurableEnd | undefined;
    try {
      const read = readSync(this.#file, this.#bytes, 0, this.#bytes.length, 0);
      // Made a moment ago, or by a writer that died over it: nothing was ever appended.
      if (read === 0) throw new ChangeoverError('BROKER_EMPTY', `No log has begun: ${this.#path} is empty`);
      end = decodeEnd(this.#bytes.subarray(0, read));
      if (!end && read === this.#bytes.length && read < framedBytesMax) this.#bytes = Buffer.alloc(framedBytesMax);
      if (fstatSync(this.#file).nlink === 0)
        throw new ChangeoverError('BROKER_EMPTY', `The log was removed: ${this.#path}`);
    } catch (error) {
      throw diskFailure(error, `Reading ${this.#path}`);
    }
    if (end && end.stream !== this.#stream)
      throw new ChangeoverError('BROKER_FOREIGN', `${this.#path} belongs to stream ${end.stream}, not ${this.#stream}`);
    return end;
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watcher?.close();
    closeSync(this.#file);
  }
}

/** Throws BROKER_EMPTY when no writer has made this log yet. */
export function watchEnd(folder: string, stream: string): EndWatch {
  const path = endPath(folder);
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') throw new ChangeoverError('BROKER_EMPTY', `No log has begun in ${folder}`);
    throw diskFailure(error, `Opening ${path}`);
  }
  return new EndWatch(path, stream, file, watcherOf(path));
}

function watcherOf(path: string): FSWatcher | undefined {
  try {
    return watch(path, { persistent: false });
  } catch {
    // No watch left in the system: polling alone is slower, not wrong.
    return undefined;
  }
}
