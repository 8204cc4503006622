import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Entry } from '../broker/broker.ts';
import { type Answer, type Ask, answerIn, refusalIn } from '../change/ask.ts';
import type { Position } from '../change/position.ts';
import { tableName } from '../change/table.ts';
import type { View } from '../change/view.ts';
import { ChangeoverError } from '../error.ts';
import type { SourceInspector } from '../source/source.ts';
import type { Sides } from './sides.ts';

/** Both sides at one position. Lives as long as it is open; the lane goes on meanwhile. */
export interface Stand extends AsyncDisposable {
  readonly position: Position;
  /** Milliseconds since 1970 by our clock: a label (invariant 16). */
  readonly atMs: number;
  readonly source: View;
  readonly target: View;
  /** By the names of `tableName`, and why: what the secondary goes on without. */
  readonly setAside: ReadonlyMap<string, string>;
}

export interface WaitOptions {
  readonly timeoutMs: number;
}

const pauseMs = 50;
const insistMs = 5000;
const wakeMsMax = 2000;

/** Throws VERIFY_NO_STAND when it does not come about in time, VERIFY_REFUSED when the primary cannot. */
export async function openStand(sides: Sides, { timeoutMs }: WaitOptions, signal: AbortSignal): Promise<Stand> {
  return inTime(sides, timeoutMs, signal, async (either) => {
    await using opened = new AsyncDisposableStack();
    const source = opened.use(await sides.source(signal));
    const target = opened.use(await sides.target(signal));
    await awake(`Nobody applies to ${sides.site}`, async () => (await target.observe(either)).writing, either);
    const { setAside } = await target.observe(either);
    const id = randomUUID();
    const { answer, position } = await asked(sides, { ask: 'stand', id }, either);
    if (answer.answer !== 'stand') throw refused('the answer is to another question');
    const seen = opened.use(await source.view(answer.snapshot, signal));
    for (;;) {
      const shown = await target.view(id, signal);
      if (shown) {
        opened.use(shown);
        const owned = opened.move();
        return {
          position,
          atMs: Date.now(),
          source: seen,
          target: shown,
          setAside: new Map(setAside.map(({ table, since }) => [tableName(table), `set aside since ${since.token}`])),
          [Symbol.asyncDispose]: () => owned.disposeAsync(),
        };
      }
      await sleep(pauseMs, undefined, { signal: either });
    }
  });
}

export interface Answered {
  readonly answer: Answer;
  /** What the answer is true of. */
  readonly position: Position;
}

/** Asks through the primary's own log, and waits until the answer is in the broker. Throws VERIFY_REFUSED. */
export async function asked(sides: Sides, ask: Ask, signal: AbortSignal): Promise<Answered> {
  const over = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  await using reader = await sides.log(both);
  await using source = await sides.source(both);
  await awake(`Nobody captures from ${sides.primary}`, async () => (await source.observe(both)).reading, both);
  const { next } = await reader.observe();
  await source.ask(ask, both);
  const insisting = insist(source, ask, both);
  try {
    return await answerFrom(reader.read(next, both), ask, signal);
  } finally {
    over.abort();
    await insisting;
  }
}

/** Whoever sleeps would be waited for in vain; one that is just being started is not asleep. Throws VERIFY_NO_STAND. */
async function awake(otherwise: string, isAwake: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  const untilMs = performance.now() + wakeMsMax;
  while (!(await isAwake())) {
    if (performance.now() > untilMs) throw new ChangeoverError('VERIFY_NO_STAND', otherwise);
    await sleep(pauseMs, undefined, { signal });
  }
}

/** A capture that was killed knows nothing of what it was asked; one that works knows it, and heeds no question twice. */
async function insist(source: SourceInspector, ask: Ask, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(insistMs, undefined, { signal }).catch(() => undefined);
    // A primary that is away comes back, or the deadline comes.
    if (!signal.aborted) await source.ask(ask, signal).catch(() => undefined);
  }
}

async function answerFrom(entries: AsyncIterable<Entry>, ask: Ask, signal: AbortSignal): Promise<Answered> {
  for await (const { batch } of entries) {
    for (const change of batch.changes) {
      const refusal = refusalIn(change);
      if (refusal?.id === ask.id) throw refused(refusal.why);
      const answer = answerIn(change);
      if (answer?.id === ask.id && batch.end) return { answer, position: batch.end };
    }
  }
  signal.throwIfAborted();
  throw new ChangeoverError('ASSERTION', 'The log ended while it was read');
}

/** Runs what must be done in time. Throws VERIFY_NO_STAND where it is not. */
// Four parameters: an options object would be made for two callers only, and hide what is run.
export async function inTime<T>(
  { primary }: Pick<Sides, 'primary'>,
  timeoutMs: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = AbortSignal.timeout(timeoutMs);
  try {
    return await work(AbortSignal.any([signal, deadline]));
  } catch (cause) {
    signal.throwIfAborted();
    if (!deadline.aborted) throw cause;
    const message = `${primary} and its secondary could not be seen at one position within ${timeoutMs / 1000} s`;
    throw new ChangeoverError('VERIFY_NO_STAND', message, { cause });
  }
}

const refused = (why: string): ChangeoverError => new ChangeoverError('VERIFY_REFUSED', `The primary refused: ${why}`);
