import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '../src/engine/postgres/connect.ts';
import { pulse } from './workload.ts';

export const perSecond = 200;
/** Transactions that warm everything up and are not counted. */
const warmUp = perSecond;

/** Milliseconds from the answer to a COMMIT at the primary to its first sight at the secondary. */
export interface Latency {
  readonly transactions: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly mostMs: number;
  /** The resolution: how long one look at the secondary took. */
  readonly lookMs: number;
  /** What the primary needed for the commits themselves. */
  readonly commitMs: number;
}

export interface LatencyOptions {
  readonly primary: Connection;
  readonly there: Connection;
  readonly seconds: number;
  readonly scale: number;
  /** The first pulse; greater than any before. */
  readonly from: number;
}

/** Commits `perSecond` transactions, evenly spaced, and looks at the secondary without a pause meanwhile. One process, one clock. */
export async function measureLatency(options: LatencyOptions, signal: AbortSignal): Promise<Latency> {
  const { primary, there, seconds, scale, from } = options;
  const count = warmUp + perSecond * seconds;
  const committedAt: number[] = [];
  const commitMs: number[] = [];
  const seenAt: number[] = [];
  const write = async (): Promise<void> => {
    const startedAt = performance.now();
    for (let index = 0; index < count; index += 1) {
      const waitMs = startedAt + (index * 1000) / perSecond - performance.now();
      if (waitMs > 0) await sleep(waitMs, undefined, { signal });
      const sentAt = performance.now();
      // Statements sent as one are one transaction.
      await primary.rows(`CALL public.transfer(${scale}); UPDATE public.pulse SET number = ${from + index}`);
      committedAt.push(performance.now());
      commitMs.push(performance.now() - sentAt);
    }
  };
  let looks = 0;
  const look = async (): Promise<void> => {
    while (seenAt.length < count) {
      signal.throwIfAborted();
      const number = await pulse(there);
      const now = performance.now();
      looks += 1;
      while (seenAt.length < count && from + seenAt.length <= number) seenAt.push(now);
    }
  };
  const startedAt = performance.now();
  await Promise.all([write(), look()]);
  const lookMs = (performance.now() - startedAt) / looks;
  // A commit can be seen before its own answer has come.
  const waits = seenAt.map((at, index) => Math.max(0, at - (committedAt[index] ?? at))).slice(warmUp);
  return {
    transactions: waits.length,
    p50Ms: quantile(waits, 0.5),
    p95Ms: quantile(waits, 0.95),
    p99Ms: quantile(waits, 0.99),
    mostMs: quantile(waits, 1),
    lookMs,
    commitMs: quantile(commitMs, 0.5),
  };
}

/** The value that `part` of all are not above; 0 of none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);
