import { createHistogram } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, connect } from '../engine/postgres/connect.ts';
import { ChangeoverError } from '../error.ts';
import type { Acknowledged } from './acknowledged.ts';
import { type PrimarySample, type Reading, readSecondary, samplePrimary } from './reading.ts';

/** Between two looks at a side. */
const lookMs = 50;
/** Rates are told over this much time. */
const rateMs = 2000;
const historySecondsMax = 120;
/** Samples that the not captured transactions are counted by: at one each `lookMs`, a minute. Older ones only make the bound larger. */
const samplesMax = 1200;
const tornMax = 20;

export interface MeterOptions {
  readonly primary: string;
  readonly secondary: string;
  readonly slot: string;
  readonly acknowledged: Acknowledged;
  readonly now: () => number;
}

export interface Rates {
  readonly transactions: number;
  readonly rows: number;
  readonly bytes: number;
  readonly applied: number;
}

interface Tick {
  readonly atMs: number;
  readonly transactions: number;
  readonly rows: number;
  readonly bytes: number;
  readonly applied: number;
}

/** Looks at both sides as any client could, without a channel of its own to the agents. */
export class Meter {
  readonly #options: MeterOptions;
  readonly #lags = createHistogram();
  readonly #samples: PrimarySample[] = [];
  readonly #ticks: Tick[] = [];
  readonly #history: { second: number; lagMs: number }[] = [];
  readonly torn: string[] = [];
  readings = 0;
  tornReadings = 0;
  /** The last look, however old. */
  reading: Reading | undefined;
  sample: PrimarySample | undefined;
  readingAtMs = Number.NEGATIVE_INFINITY;
  sampleAtMs = Number.NEGATIVE_INFINITY;
  lagMs: number | undefined;

  constructor(options: MeterOptions) {
    this.#options = options;
  }

  /** Looks until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { primary, secondary, slot, now } = this.#options;
    const look = async (url: string, side: 'SOURCE' | 'TARGET', see: (connection: Connection) => Promise<void>) =>
      watch({ url, side, see, after: () => this.#afterLook(side) }, signal);
    await Promise.all([
      look(primary, 'SOURCE', async (connection) => {
        this.sample = await samplePrimary(connection, slot);
        this.sampleAtMs = now();
        this.#samples.push(this.sample);
        if (this.#samples.length > samplesMax) this.#samples.shift();
      }),
      look(secondary, 'TARGET', async (connection) => {
        const beganMs = now();
        const reading = await readSecondary(connection);
        if (reading.position === undefined) return;
        this.#saw(reading, beganMs);
      }),
    ]);
  }

  #saw(reading: Reading, beganMs: number): void {
    const { acknowledged, now } = this.#options;
    this.reading = reading;
    this.readingAtMs = beganMs;
    this.readings += 1;
    if (reading.torn.length > 0) {
      this.tornReadings += 1;
      if (this.torn.length < tornMax) this.torn.push(...reading.torn);
    }
    acknowledged.sawVisible(reading.counts);
    // What was committed before the reading began and is missing in it: never told too small by the reading's own time.
    const since = acknowledged.waitingSinceMs(beganMs);
    this.#lag(since === undefined ? 0 : now() - since);
  }

  /** Once per look at the secondary, also when it did not answer: an outage counts by its length, not as one long sample. */
  #afterLook(side: 'SOURCE' | 'TARGET'): void {
    if (side === 'SOURCE' || this.reading === undefined) return;
    const nowMs = this.#options.now();
    if (nowMs - this.readingAtMs > 2 * lookMs) {
      const since = this.#options.acknowledged.waitingSinceMs(nowMs);
      if (since !== undefined) this.#lag(nowMs - since);
    }
    this.#tick(nowMs);
  }

  #lag(lagMs: number): void {
    this.lagMs = lagMs;
    this.#lags.record(Math.max(1, Math.round(lagMs * 1000)));
    const second = Math.floor(this.#options.now() / 1000);
    const last = this.#history.at(-1);
    if (last?.second === second) last.lagMs = Math.max(last.lagMs, lagMs);
    else this.#history.push({ second, lagMs });
    if (this.#history.length > historySecondsMax) this.#history.shift();
  }

  #tick(atMs: number): void {
    const { acknowledged } = this.#options;
    const bytes = Number(this.sample?.flushed ?? 0n);
    const { transactions, rows, visible: applied } = acknowledged;
    this.#ticks.push({ atMs, transactions, rows, bytes, applied });
    while ((this.#ticks[0]?.atMs ?? atMs) < atMs - rateMs) this.#ticks.shift();
  }

  /** Forgets the lags so far: that of the first copy is no lag of replication. */
  begin(): void {
    this.#lags.reset();
    this.#history.length = 0;
  }

  /** The largest lag of each of the last seconds, oldest first. */
  historyMs(): readonly number[] {
    return this.#history.map(({ lagMs }) => lagMs);
  }

  /** Milliseconds. Over time, not over transactions: half of the time the lag was at most `p50`. */
  lags(): { readonly p50: number; readonly p99: number; readonly max: number } {
    const ms = (microseconds: number): number => Math.round(microseconds / 100) / 10;
    if (this.#lags.count === 0) return { p50: 0, p99: 0, max: 0 };
    return { p50: ms(this.#lags.percentile(50)), p99: ms(this.#lags.percentile(99)), max: ms(this.#lags.max) };
  }

  rates(): Rates {
    const [first, last] = [this.#ticks[0], this.#ticks.at(-1)];
    const seconds = ((last?.atMs ?? 0) - (first?.atMs ?? 0)) / 1000;
    const rate = (of: 'transactions' | 'rows' | 'bytes' | 'applied'): number =>
      first && last && seconds > 0 ? (last[of] - first[of]) / seconds : 0;
    return { transactions: rate('transactions'), rows: rate('rows'), bytes: rate('bytes'), applied: rate('applied') };
  }

  /** What would be lost if the primary vanished now: bytes of its log that ours is not known to hold, and the most transactions that
   *  can lie there. Never too small; too large by what was committed between two looks. */
  atRisk(): { readonly bytes: number; readonly transactions: number } | undefined {
    const { sample } = this;
    if (sample?.captured === undefined) return undefined;
    const { captured } = sample;
    const safe = this.#samples.findLast(({ flushed }) => flushed <= captured);
    const transactions = this.#options.acknowledged.transactions - (safe?.transactions ?? 0);
    return { bytes: Math.max(0, Number(sample.flushed - captured)), transactions: Math.max(0, transactions) };
  }

  /** Bytes of the primary's log that the secondary does not show. */
  behindBytes(): number | undefined {
    const [flushed, position] = [this.sample?.flushed, this.reading?.position];
    return flushed === undefined || position === undefined ? undefined : Math.max(0, Number(flushed - position));
  }
}

interface Watch {
  readonly url: string;
  readonly side: 'SOURCE' | 'TARGET';
  readonly see: (connection: Connection) => Promise<void>;
  readonly after: () => void;
}

/** Looks again and again, over a connection that is made anew when it is lost. A side that is away is simply not seen. */
async function watch({ url, side, see, after }: Watch, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await using connection = await connect({ url, side, application: 'demo meter' }, signal);
      while (!signal.aborted) {
        await see(connection);
        after();
        await sleep(lookMs, undefined, { signal });
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ChangeoverError) || error.code === 'ASSERTION') throw error;
      after();
      await sleep(lookMs, undefined, { signal }).catch(() => undefined);
    }
  }
}
