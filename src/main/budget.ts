import { setTimeout as sleep } from 'node:timers/promises';
import { bytesWords } from '../control/words.ts';
import { ChangeoverError } from '../error.ts';
import { backoffMs } from '../flow/backoff.ts';
import type { SourceInspector } from '../source/source.ts';
import type { Report } from './life.ts';

export interface BudgetOptions {
  readonly primary: string;
  readonly source: () => Promise<SourceInspector>;
  readonly budgetBytes: number;
  readonly over: 'warn' | 'release';
  readonly everyMs: number;
  readonly report: Report;
}

/** Does the work while what the primary keeps on our account is watched (invariant 6). Beyond the budget people are told; where the policy
 *  is to release, the work is stopped first and the primary then lets go. Throws what the work throws, and SOURCE_SLOT_RELEASED. */
export async function withinBudget(
  options: BudgetOptions,
  work: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const working = work(both);
  const watching = watched(options, both);
  try {
    const exceeded = await Promise.race([working.then(() => undefined), watching]);
    if (exceeded === undefined) return await working;
    stop.abort();
    await working;
    await abandoned(options, signal);
    const kept = `${options.primary} kept ${bytesWords(exceeded)} of WAL for us, of ${bytesWords(options.budgetBytes)}`;
    throw new ChangeoverError(
      'SOURCE_SLOT_RELEASED',
      `${kept}: the slot was given up, and what was not captured yet is at the primary only`,
    );
  } finally {
    stop.abort();
    await watching;
  }
}

/** Resolves with what is kept once that is to be released; with nothing once `signal` aborts. */
async function watched(
  { primary, source, budgetBytes, over, everyMs, report }: BudgetOptions,
  signal: AbortSignal,
): Promise<number | undefined> {
  await using inspector = await source();
  let wasOver = false;
  while (!signal.aborted) {
    // A primary that cannot be asked is capture's to complain of, and keeps what it keeps.
    const seen = await inspector.observe(signal).catch(() => undefined);
    const isOver = seen !== undefined && seen.retainedBytes > budgetBytes;
    if (isOver && over === 'release') return seen.retainedBytes;
    if (isOver && !wasOver)
      report(
        `warning: ${primary} keeps ${bytesWords(seen.retainedBytes)} of WAL for us, over the budget of ${bytesWords(budgetBytes)}; see changeover status`,
      );
    wasOver = seen === undefined ? wasOver : isOver;
    await sleep(everyMs, undefined, { signal }).catch(() => undefined);
  }
  return undefined;
}

/** It was decided: the primary is asked until it has done it. */
async function abandoned({ source, report }: BudgetOptions, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    await using inspector = await source();
    try {
      return await inspector.abandon(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ChangeoverError)) throw error;
      report(`warning: the slot cannot be given up yet: ${error.code} ${error.message}`);
    }
    await sleep(backoffMs(attempt, Math.random()), undefined, { signal });
  }
}
