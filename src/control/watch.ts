import { setTimeout as sleep } from 'node:timers/promises';
import type { BrokerReader } from '../broker/broker.ts';
import type { SequenceValue } from '../change/control.ts';
import { ChangeoverError } from '../error.ts';
import { machineTime } from '../flow/machine-time.ts';
import type { Helm } from '../helm/helm.ts';
import type { Journal } from './journal.ts';
import { covered, noSightings, type Sightings, sighted } from './loss.ts';
import { keepSightings, keptSightings } from './sightings.ts';
import type { Standing } from './state.ts';

export interface WatchOptions {
  readonly journal: Journal;
  readonly openReader: (signal: AbortSignal) => Promise<BrokerReader>;
  readonly helm: (site: string, side: 'primary' | 'secondary') => Promise<Helm>;
  readonly folder: string;
  readonly sites: readonly string[];
  /** Whether secondaries are shut to writers. */
  readonly guard: boolean;
  readonly everyMs: number;
  readonly clock: () => number;
}

/** Looks at the leader again and again: what a failover must know of a primary that can no longer be asked. Keeps what it saw in the data
 *  folder, for a coordinator to come. */
export class Watch {
  readonly #options: WatchOptions;
  #sightings: Sightings = noSightings;
  #leader: string | undefined;
  readonly #guarded = new Set<string>();
  #helm: Helm | undefined;
  /** The round under way, and what ends it. */
  #round: Promise<void> = Promise.resolve();
  #stop = new AbortController();

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Until `signal` aborts. Does nothing while the lead moves. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        const stop = new AbortController();
        this.#stop = stop;
        const round = this.#once(AbortSignal.any([signal, stop.signal]));
        this.#round = round.catch(() => undefined);
        await round.catch((error: unknown) => {
          if (!stop.signal.aborted) throw error;
        });
        await sleep(this.#options.everyMs, undefined, { signal });
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await this.#letGo();
    }
  }

  /** Resolves once nothing of it is on its way to a site any more, and nothing will be while the lead moves. What began before the move
   *  would open the old primary amid it, or shut the new one, if it came late. */
  async rest(): Promise<void> {
    this.#stop.abort();
    await this.#round;
  }

  async #once(signal: AbortSignal): Promise<void> {
    const { journal } = this.#options;
    const { standing } = journal;
    // Whatever a move left, it begins anew behind it.
    if (standing.move || this.#leader !== standing.leader) await this.#letGo();
    if (standing.move || (await journal.tail()) === undefined) return;
    try {
      this.#helm ??= await this.#begin(standing, signal);
      await this.#look(this.#helm, signal);
      await this.#guard(standing, signal);
    } catch (error) {
      // A primary that is away is looked for again; capture is who complains of it.
      if (!(error instanceof ChangeoverError) || error.code.startsWith('BROKER_')) throw error;
    }
    await this.#tidy(signal);
  }

  async #letGo(): Promise<void> {
    const helm = this.#helm;
    this.#helm = undefined;
    await helm?.[Symbol.asyncDispose]();
  }

  /** All that is known of the leader, as far as the log is now. */
  async sightings(): Promise<Sightings> {
    const { journal, folder } = this.#options;
    const tail = await journal.tail();
    const { leader } = journal.standing;
    const found =
      this.#leader === leader && this.#sightings.last ? this.#sightings : await keptSightings(folder, leader);
    return tail ? covered(found, tail) : found;
  }

  /** Whoever leads by the journal takes writes, also where a coordinator died before it could see to it. */
  async #begin({ leader }: Standing, signal: AbortSignal): Promise<Helm> {
    const { helm: openHelm, folder } = this.#options;
    this.#guarded.clear();
    if (this.#leader !== leader) this.#sightings = await keptSightings(folder, leader);
    this.#leader = leader;
    await using opened = new AsyncDisposableStack();
    const helm = opened.use(await openHelm(leader, 'primary'));
    await helm.open(signal);
    opened.move();
    return helm;
  }

  async #look(helm: Helm, signal: AbortSignal): Promise<void> {
    const { journal, folder, clock } = this.#options;
    const { standing } = journal;
    const [atMs, machine] = [clock(), machineTime()];
    const { position, transactions, sequences } = await helm.sight(signal);
    if (journal.standing !== standing) return;
    this.#sightings = sighted(this.#sightings, { position, transactions, atMs, machine });
    const tail = await journal.tail();
    if (tail) this.#sightings = covered(this.#sightings, tail);
    await keepSightings(folder, standing.leader, this.#sightings);
    const moved = movedSequences(standing.sequences, sequences);
    if (Object.keys(moved).length === 0 || journal.standing.move) return;
    const { leader, epoch } = standing;
    await journal.record({ kind: 'sampled', atMs, leader, epoch, sequences: moved }, {}, signal);
  }

  /** Once for each leader: a secondary that cannot be reached is shut when it can. */
  async #guard({ leader, stranded }: Standing, signal: AbortSignal): Promise<void> {
    const { guard, sites, helm: openHelm } = this.#options;
    for (const site of guard ? sites : []) {
      if (site === leader || stranded.includes(site) || this.#guarded.has(site)) continue;
      await using helm = await openHelm(site, 'secondary');
      await helm.shut(signal);
      this.#guarded.add(site);
    }
  }

  /** The log need not keep for those who read it no more, and whoever comes next need not read what was read. */
  async #tidy(signal: AbortSignal): Promise<void> {
    const { journal, openReader, sites } = this.#options;
    await using reader = await openReader(signal);
    const { next } = await reader.observe();
    const { leader, stranded, move } = journal.standing;
    if (move) return;
    for (const site of sites) if (site === leader || stranded.includes(site)) await reader.release(site, next);
    await journal.keep();
  }
}

function movedSequences(
  before: Readonly<Record<string, SequenceValue>>,
  now: Readonly<Record<string, SequenceValue>>,
): Record<string, SequenceValue> {
  const isOther = ([name, { last, called }]: [string, SequenceValue]): boolean =>
    before[name]?.last !== last || before[name].called !== called;
  return Object.fromEntries(Object.entries(now).filter(isOther));
}
