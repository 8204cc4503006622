/** Past this the times of newer transactions are not kept; the oldest decides the lag. Two hours of one client at 25 a second. */
const timesMax = 200_000;

/** What each client knows to be committed, and since when: the yardstick for what the secondary must show. Clients count from 1. */
export class Acknowledged {
  readonly #counts: number[];
  readonly #visible: number[];
  readonly #times: number[][];
  #rows = 0;

  constructor(clients: number) {
    this.#counts = Array<number>(clients).fill(0);
    this.#visible = Array<number>(clients).fill(0);
    this.#times = Array.from({ length: clients }, () => []);
  }

  add(client: number, counter: number, of: { readonly rows: number; readonly atMs: number }): void {
    this.#counts[client - 1] = counter;
    const times = this.#times[client - 1];
    // The secondary can show it before the primary's answer is here.
    const seenAlready = counter <= (this.#visible[client - 1] ?? 0);
    if (times && !seenAlready && times.length < timesMax) times.push(of.atMs);
    this.#rows += of.rows;
  }

  /** Of each client, the number of its transactions that are known to be committed. */
  counts(): readonly number[] {
    return [...this.#counts];
  }

  get transactions(): number {
    return sum(this.#counts);
  }

  get rows(): number {
    return this.#rows;
  }

  /** What a reading of the secondary showed. Earlier readings that come late are of no interest. */
  sawVisible(counts: readonly number[]): void {
    for (const [index, count] of counts.entries()) {
      const more = count - (this.#visible[index] ?? 0);
      if (more <= 0) continue;
      this.#visible[index] = count;
      this.#times[index]?.splice(0, more);
    }
  }

  get visible(): number {
    return sum(this.#visible);
  }

  /** Since when the oldest transaction waits that is committed and not visible: undefined when none does. `untilMs`: leaves out those
   *  committed later, so that a reading is measured by what was there when it began. */
  waitingSinceMs(untilMs: number): number | undefined {
    const oldest = this.#times.flatMap(([first]) => (first === undefined || first > untilMs ? [] : [first]));
    return oldest.length === 0 ? undefined : Math.min(...oldest);
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

/** True when `shown` has everything of `wanted`, client by client. */
export const covers = (shown: readonly number[], wanted: readonly number[]): boolean =>
  wanted.every((count, index) => (shown[index] ?? 0) >= count);
