/** Lets transactions through, until it is closed: then it waits until the last one inside has left. */
export class Gate {
  #inside = 0;
  #opened: PromiseWithResolvers<void> | undefined;
  #emptied: PromiseWithResolvers<void> | undefined;

  /** Dispose what it returns to leave. */
  async enter(signal: AbortSignal): Promise<Disposable> {
    while (this.#opened) await orAborted(this.#opened.promise, signal);
    signal.throwIfAborted();
    this.#inside += 1;
    let left = false;
    return {
      [Symbol.dispose]: () => {
        if (left) return;
        left = true;
        this.#inside -= 1;
        if (this.#inside === 0) this.#emptied?.resolve();
      },
    };
  }

  /** Resolves when nobody is inside; waits for its turn when it is closed already. Dispose what it returns to open again; when it throws it is open. */
  async close(signal: AbortSignal): Promise<Disposable> {
    while (this.#opened) await orAborted(this.#opened.promise, signal);
    const opened = Promise.withResolvers<void>();
    this.#opened = opened;
    const open = (): void => {
      if (this.#opened === opened) this.#opened = undefined;
      opened.resolve();
    };
    try {
      while (this.#inside > 0) {
        this.#emptied = Promise.withResolvers();
        await orAborted(this.#emptied.promise, signal);
      }
    } catch (error) {
      open();
      throw error;
    }
    return { [Symbol.dispose]: open };
  }
}

/** Waits for `promise`, but no longer than until `signal` aborts: then rejects with its reason. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
