import { setTimeout as sleep } from 'node:timers/promises';
import { ChangeoverError } from '../error.ts';
import { type Acknowledged, covers } from './acknowledged.ts';
import type { Gate } from './gate.ts';
import type { Meter } from './measure.ts';
import type { Death, KeptPart, PartName } from './part.ts';
import { compareSides, type Proof } from './prove.ts';

const lookMs = 20;
/** Times that one proof may be broken off by a death of a side. */
const proofsMax = 100;
/** A part that is not back and caught up by then will not be. */
const recoveryMsMax = 120_000;
/** An agent that ends again and again before anything flows cannot work here; its last words say why. */
const earlyDeathsMax = 5;

/** A death of a part, and what came of it. */
export interface Recovery {
  readonly part: PartName;
  /** Since the demo flows. */
  readonly atMs: number;
  readonly killedMs: number;
  /** Of a part that ended by itself. */
  readonly words: string | undefined;
  /** From the death until everything committed was visible at the secondary again, what was committed after the return too. */
  recoveredMs: number | undefined;
  proof: Proof | undefined;
}

export interface ProverOptions {
  readonly primary: string;
  readonly secondary: string;
  readonly parts: readonly KeptPart[];
  readonly meter: Meter;
  readonly acknowledged: Acknowledged;
  readonly gate: Gate;
  readonly now: () => number;
}

/** Follows every death to its proof. */
export class Prover {
  readonly #options: ProverOptions;
  readonly recoveries: Recovery[] = [];
  #startedMs = Number.NaN;
  /** Deaths that nobody asked for before anything flowed, by part. */
  readonly #early = new Map<PartName, number>();
  proving = false;
  last: Proof | undefined;

  constructor(options: ProverOptions) {
    this.#options = options;
  }

  /** Deaths while the demo flows are written down; one before that only delays the start. */
  died({ part, atMs: killedMs, words }: Death): void {
    const atMs = Math.round(killedMs - this.#startedMs);
    if (Number.isNaN(atMs)) {
      if (words !== undefined) this.#early.set(part, (this.#early.get(part) ?? 0) + 1);
      return;
    }
    this.recoveries.push({ part, atMs, killedMs, words, recoveredMs: undefined, proof: undefined });
  }

  get settled(): boolean {
    return this.recoveries.every(({ proof }) => proof !== undefined);
  }

  /** Waits until the first copy is whole and followed by live transactions: from here on the demo counts its time. */
  async flows(signal: AbortSignal): Promise<void> {
    const { meter, parts } = this.#options;
    do {
      await this.#until('the first copy', () => this.#isUp() && meter.reading !== undefined, signal);
      await this.#settleLives(signal);
    } while (parts.some(({ life }) => life.kind !== 'running'));
    meter.begin();
    this.#startedMs = this.#options.now();
  }

  /** Runs until `signal` aborts. Throws DEMO_FAILED when a part does not recover. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (!this.settled) await this.#recover(signal);
      await sleep(lookMs, undefined, { signal });
    }
  }

  /** Stops the workload, waits until both sides must be equal, and compares every row. */
  async prove(signal: AbortSignal): Promise<Proof> {
    const { primary, secondary, gate, acknowledged, meter } = this.#options;
    this.proving = true;
    try {
      using _closed = await gate.close(signal);
      const wanted = acknowledged.counts();
      for (let attempt = 1; ; attempt += 1) {
        const caughtUp = (): boolean => this.#isUp() && covers(meter.reading?.counts ?? [], wanted);
        await this.#until('the secondary to catch up', caughtUp, signal);
        try {
          this.last = await compareSides({ primary, secondary }, signal);
          return this.last;
        } catch (error) {
          signal.throwIfAborted();
          // Killed again in the middle of the proof: it begins anew when the part is back.
          if (attempt === proofsMax || !(error instanceof ChangeoverError && error.action === 'retry')) throw error;
          await sleep(lookMs, undefined, { signal });
        }
      }
    } finally {
      this.proving = false;
    }
  }

  async #recover(signal: AbortSignal): Promise<void> {
    await this.#until('a killed part to come back', () => this.#isUp(), signal);
    await this.#settleLives(signal);
    const proof = await this.prove(signal);
    for (const recovery of this.recoveries) if (recovery.recoveredMs !== undefined) recovery.proof ??= proof;
  }

  /** What is back, catches up. A part that dies meanwhile is left for the next round. */
  async #settleLives(signal: AbortSignal): Promise<void> {
    const { now, parts } = this.#options;
    const open = this.recoveries.filter(({ recoveredMs }) => recoveredMs === undefined);
    const lives = parts.map(({ life }) => life);
    await this.#catchUp(signal);
    for (const recovery of open) recovery.recoveredMs = Math.round(now() - recovery.killedMs);
    for (const [index, kept] of parts.entries())
      if (kept.life.kind === 'recovering' && kept.life === lives[index]) kept.recovered();
  }

  /** Until something that was committed from now on, and all before it, is visible. */
  async #catchUp(signal: AbortSignal): Promise<void> {
    const { acknowledged, meter } = this.#options;
    const before = acknowledged.transactions;
    await this.#until('the workload to go on', () => acknowledged.transactions > before, signal);
    const wanted = acknowledged.counts();
    await this.#until('the secondary to catch up', () => covers(meter.reading?.counts ?? [], wanted), signal);
  }

  #isUp(): boolean {
    return this.#options.parts.every(({ isUp }) => isUp);
  }

  async #until(what: string, isTrue: () => boolean, signal: AbortSignal): Promise<void> {
    const { now, parts } = this.#options;
    const untilMs = now() + recoveryMsMax;
    while (!isTrue()) {
      if (now() > untilMs || Math.max(...this.#early.values()) >= earlyDeathsMax) {
        const words = parts.map(({ part, life }) => `${part.name} (${life.kind}): ${part.words()}`).join('\n');
        throw new ChangeoverError('DEMO_FAILED', `Waited in vain for ${what}\n${words}`);
      }
      await sleep(lookMs, undefined, { signal });
    }
  }
}
