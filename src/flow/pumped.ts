import { Handover } from './handover.ts';

export interface PumpedOptions<T> {
  /** Runs beside the consumer. What it gives waits in the handover; it waits itself while that is full. When it returns, the
   *  iteration ends; when it throws, the iteration throws the same. */
  readonly produce: (give: (item: T, bytes: number) => Promise<void>, signal: AbortSignal) => Promise<void>;
  /** How much may lie between producer and consumer. */
  readonly bytesMax: number;
  /** How much the consumer gets at once, at the most (one item always). */
  readonly takeBytesMax: number;
  /** Where nothing comes for so long, the consumer gets an empty round. Default: it waits. */
  readonly restMs?: number;
}

/** Two stages that work at the same time: while the consumer is busy, the producer goes on, up to `bytesMax`. Each round gives all
 *  that has come meanwhile. Leaving the loop stops the producer and waits for its end. */
export async function* pumped<T>(options: PumpedOptions<T>, signal: AbortSignal): AsyncGenerator<readonly T[]> {
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const handover = new Handover<T>(options.bytesMax);
  const producing = options
    .produce((item, bytes) => handover.give(item, bytes, both), both)
    .then(
      () => handover.end(),
      (error: unknown) => stop.abort(error),
    );
  try {
    for (;;) {
      const items = await handover.takeAll(options.takeBytesMax, both, options.restMs);
      if (!items) return;
      yield items;
    }
  } finally {
    stop.abort();
    await producing;
  }
}
