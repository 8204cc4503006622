import { setTimeout as sleep } from 'node:timers/promises';
import { assert, ChangeoverError } from '../error.ts';
import type { CarrierName } from './carriers.ts';
import { orAborted } from './gate.ts';

/** In the order in which a change passes them. */
export const partNames = ['primary', 'capture', 'broker', 'apply', 'secondary'] as const;
export type PartName = (typeof partNames)[number];

/** The parts of a demo over `carrier`: the embedded log has no process of its own. */
export const partNamesOver = (carrier: CarrierName): readonly PartName[] =>
  partNames.filter((name) => name !== 'broker' || carrier !== 'log');

export function partName(text: string, carrier: CarrierName): PartName {
  const known = partNamesOver(carrier);
  const name = known.find((one) => one === text);
  if (name) return name;
  const why = text === 'broker' ? ': the embedded log lives within capture. Choose a server: --broker kafka' : '';
  throw new ChangeoverError('CLI_USAGE', `There is no part ${text} to kill${why}`, {
    hint: `Parts: ${known.join(', ')}; several are separated by commas.`,
  });
}

/** A process, or a server of many, that can be killed and comes back. */
export interface Part {
  readonly name: PartName;
  pid(): number | undefined;
  start(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Resolves when it does not run, whoever ended it. */
  ended(): Promise<void>;
  /** Its last words, for the message when it does not come back. */
  words(): string;
}

/** `starting`: again, after a death. `recovering`: it runs again, and what was missed meanwhile is not there yet. */
export type LifeKind = 'waiting' | 'running' | 'killed' | 'starting' | 'recovering';
export interface Life {
  readonly kind: LifeKind;
  readonly sinceMs: number;
}

/** How long a part stays away: long enough to see it, and about what an init system waits. */
const awayMs = 2000;
/** Starts in a row that may fail before the demo gives up. */
const failuresMax = 5;

export interface Death {
  readonly part: PartName;
  readonly atMs: number;
  /** What it said last when it ended without being asked; undefined after `kill`. */
  readonly words: string | undefined;
}

/** Keeps a part alive as an init system would, whoever killed it, and knows how it is. */
export class KeptPart {
  readonly part: Part;
  readonly #now: () => number;
  readonly #onDeath: (death: Death) => void;
  #life: Life;
  #asked = false;

  constructor(part: Part, of: { readonly now: () => number; readonly onDeath: (death: Death) => void }) {
    this.part = part;
    this.#now = of.now;
    this.#onDeath = of.onDeath;
    this.#life = { kind: 'waiting', sinceMs: of.now() };
  }

  get life(): Life {
    return this.#life;
  }

  get isUp(): boolean {
    return this.#life.kind === 'running' || this.#life.kind === 'recovering';
  }

  /** SIGKILL. Nothing to do when it does not run. */
  async kill(): Promise<void> {
    if (this.part.pid() === undefined) return;
    this.#asked = true;
    await this.part.kill();
  }

  /** What it missed is there again. */
  recovered(): void {
    assert(this.#life.kind === 'recovering', `The ${this.part.name} recovers from nothing`);
    this.#become('running');
  }

  /** Runs until `signal` aborts; the part is still running then. Throws DEMO_FAILED when it does not start. */
  async keep(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      const isFirst = this.#life.kind === 'waiting';
      if (!isFirst) this.#become('starting');
      try {
        await this.part.start();
        failures = 0;
        this.#become(isFirst ? 'running' : 'recovering');
        await orAborted(this.part.ended(), signal);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        if (failures >= failuresMax) throw error;
      }
      this.#become('killed');
      const words = this.#asked ? undefined : this.part.words();
      this.#asked = false;
      this.#onDeath({ part: this.part.name, atMs: this.#life.sinceMs, words });
      await sleep(awayMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #become(kind: LifeKind): void {
    this.#life = { kind, sinceMs: this.#now() };
  }
}
