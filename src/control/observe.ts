import type { BrokerObservation, BrokerReader } from '../broker/broker.ts';
import { committedAtUs } from '../change/change.ts';
import { nextOffset, type Offset, offset } from '../change/position.ts';
import { ChangeoverError, type Code, isCode } from '../error.ts';
import { isAlive, readLives } from './agents.ts';
import type { Lane } from './lane.ts';
import type { Observed, SecondaryStatus, Status } from './status.ts';

/** Longer than a slow network needs, shorter than an operator's patience. */
const answerMsMax = 8000;

/** Asks everyone at once. Resolves whoever fails to answer; rejects only when `signal` aborts. */
export async function observe(lane: Lane, signal: AbortSignal): Promise<Status> {
  const log = observeLog(lane, signal);
  const [source, secondaries, agents, observation] = await Promise.all([
    asked(
      {
        silent: 'SOURCE_UNREACHABLE',
        whom: lane.primary,
        async ask(signal) {
          await using inspector = await lane.source(signal);
          return await inspector.observe(signal);
        },
      },
      signal,
    ),
    Promise.all(lane.secondaries.map((site) => observeSecondary({ lane, site, log }, signal))),
    readLives(lane.folder),
    log,
  ]);
  signal.throwIfAborted();
  return {
    lane: { name: lane.name, primary: lane.primary, limits: lane.limits },
    atMs: Date.now(),
    source,
    log: observation,
    secondaries,
    agents: agents.map((life) => ({ ...life, alive: isAlive(life) })),
  };
}

const observeLog = (lane: Lane, signal: AbortSignal): Promise<Observed<BrokerObservation>> =>
  asked(
    {
      silent: 'BROKER_IO',
      whom: 'The log',
      async ask(signal) {
        await using reader = await lane.log(signal);
        return await reader.observe();
      },
    },
    signal,
  );

interface Question {
  readonly lane: Lane;
  readonly site: string;
  readonly log: Promise<Observed<BrokerObservation>>;
}

async function observeSecondary({ lane, site, log }: Question, signal: AbortSignal): Promise<SecondaryStatus> {
  const target = await asked(
    {
      silent: 'TARGET_UNREACHABLE',
      whom: site,
      async ask(signal) {
        await using inspector = await lane.target(site, signal);
        return await inspector.observe(signal);
      },
    },
    signal,
  );
  const observation = await log;
  const unknown: SecondaryStatus = {
    site,
    target,
    notApplied: undefined,
    appliedAtUs: { known: true, value: undefined },
  };
  if (!target.known || !observation.known) return unknown;
  const { checkpoint } = target.value;
  const held = observation.value;
  if (checkpoint !== undefined && checkpoint.stream !== held.stream) return unknown;
  const applied = checkpoint?.offset;
  const from = applied === undefined ? held.first : nextOffset(applied);
  const behind = await asked(
    {
      silent: 'BROKER_IO',
      whom: 'The log',
      async ask(signal) {
        await using reader = await lane.log(signal);
        const now = await reader.observe();
        if (from > now.next)
          throw new ChangeoverError('BROKER_GAP', `The log ends at ${now.next}, but ${site} has applied up to ${from}`);
        const notApplied = { entries: now.next - from, bytes: await now.bytesFrom(from) };
        return { notApplied, at: await committedAt(reader, applied, signal) };
      },
    },
    signal,
  );
  if (!behind.known) return { ...unknown, appliedAtUs: behind };
  return { ...unknown, notApplied: behind.value.notApplied, appliedAtUs: { known: true, value: behind.value.at } };
}

/** Entries of the journal say nothing of the source's time, and so many of them are looked past. */
const journalEntriesMax = 8;

/** The label of the last commit in the entry `at`, or in the one before the entries of the journal that end there. Undefined: it holds
 *  none, or the log does not hold it. */
async function committedAt(
  reader: BrokerReader,
  at: Offset | undefined,
  signal: AbortSignal,
): Promise<bigint | undefined> {
  if (at === undefined) return undefined;
  const { first, next } = await reader.observe();
  if (at < first || at >= next) return undefined;
  try {
    let found: bigint | undefined;
    const from = offset(Math.max(first, at - journalEntriesMax));
    for await (const { offset: here, batch } of reader.read(from, signal)) {
      if (batch.changes.length === 0 || batch.changes.some(({ kind }) => kind !== 'control'))
        found = committedAtUs(batch);
      if (here >= at) return found;
    }
  } catch (error) {
    // Trimmed between the two questions.
    if (!isCode(error, 'BROKER_GAP')) throw error;
  }
  return undefined;
}

interface Inquiry<T> {
  readonly ask: (signal: AbortSignal) => Promise<T>;
  readonly whom: string;
  /** What to call it when nothing comes back in time. */
  readonly silent: Code;
}

/** The answer, or why there is none. */
async function asked<T>({ ask, whom, silent }: Inquiry<T>, signal: AbortSignal): Promise<Observed<T>> {
  const patience = AbortSignal.timeout(answerMsMax);
  try {
    return { known: true, value: await ask(AbortSignal.any([signal, patience])) };
  } catch (cause) {
    signal.throwIfAborted();
    const error = patience.aborted
      ? new ChangeoverError(silent, `${whom} did not answer in ${answerMsMax} ms`, { cause })
      : explained(cause);
    return { known: false, trouble: { code: error.code, message: error.message, hint: error.hint } };
  }
}

/** Of an error that is not ours the message may hold anything, a row included: only its name is kept. */
const explained = (cause: unknown): ChangeoverError =>
  cause instanceof ChangeoverError
    ? cause
    : new ChangeoverError('ASSERTION', `Unexpected ${cause instanceof Error ? cause.name : 'error'}`, { cause });
