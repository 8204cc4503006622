import { AsyncLocalStorage } from 'node:async_hooks';
import type { Chance } from './chance.ts';
import type { Disk } from './disk.ts';
import type { Scheduler } from './scheduler.ts';

/** The clock on the wall of a machine: it may jump. */
export interface WallClock {
  readMs(): number;
}

export interface Machine {
  readonly scheduler: Scheduler;
  readonly chance: Chance;
  readonly clock: WallClock;
  readonly disk: Disk;
  /** When it began to run. */
  bootedAtMs: number;
}

/** As node:diagnostics_channel has it. */
export class Channel {
  readonly #listeners = new Set<(event: unknown) => void>();

  get hasSubscribers(): boolean {
    return this.#listeners.size > 0;
  }

  publish(event: unknown): void {
    for (const listen of this.#listeners) listen(event);
  }

  subscribe(listen: (event: unknown) => void): void {
    this.#listeners.add(listen);
  }

  unsubscribe(listen: (event: unknown) => void): void {
    this.#listeners.delete(listen);
  }
}

/** Whose code is running: what it asks of the platform goes to its own machine. */
export const running = new AsyncLocalStorage<Process>();

/** A process that can be killed between any two of its awaits, and stopped for a while. What a dead one waits for never comes, so no
 *  line of it runs to any effect again. */
export class Process {
  readonly name: string;
  readonly machine: Machine;
  isAlive = true;
  stoppedUntilMs = 0;
  /** What it has sent and nobody has got yet: it arrives after all, or is dropped. */
  readonly sent = new Set<(arrives: boolean) => void>();
  /** What it says of itself, by the name of the channel: nobody else hears it. */
  readonly channels = new Map<string, Channel>();
  /** Sessions and locks that others hold for it. */
  readonly onDeath = new Set<() => void>();

  constructor(name: string, machine: Machine) {
    this.name = name;
    this.machine = machine;
  }

  run<T>(work: () => T): T {
    return running.run(this, work);
  }

  after(ms: number, work: () => void): void {
    this.machine.scheduler.after(ms, () => this.deliver(work));
  }

  deliver(work: () => void): void {
    const { scheduler } = this.machine;
    if (!this.isAlive) return;
    if (this.stoppedUntilMs > scheduler.nowMs)
      scheduler.after(this.stoppedUntilMs - scheduler.nowMs, () => this.deliver(work));
    else work();
  }

  /** A wait of this process. What `begin` settles it with, reaches it once it is alive and not stopped; an abort is its own and does at once. */
  wait<T>(
    begin: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
    signal?: AbortSignal,
    reasonOf: (signal: AbortSignal) => unknown = (aborted) => aborted.reason,
  ): Promise<T> {
    if (!this.isAlive) return new Promise(() => undefined);
    if (signal?.aborted) return Promise.reject(reasonOf(signal));
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const onAbort = (): void => signal && reject(reasonOf(signal));
    signal?.addEventListener('abort', onAbort, { once: true });
    const settle = (work: () => void): void =>
      this.deliver(() => {
        signal?.removeEventListener('abort', onAbort);
        work();
      });
    begin(
      (value) => settle(() => resolve(value)),
      (error) => settle(() => reject(error)),
    );
    return promise;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.wait((resolve) => this.machine.scheduler.after(ms, resolve), signal, aborted);
  }

  /** What it sent last has arrived, or never will. */
  die(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    for (const land of this.sent) land(this.machine.chance.is(0.5));
    this.sent.clear();
    for (const end of this.onDeath) end();
  }
}

/** As node:timers/promises says it. */
const aborted = ({ reason }: AbortSignal): Error =>
  Object.assign(new Error('The operation was aborted', { cause: reason }), { name: 'AbortError', code: 'ABORT_ERR' });
