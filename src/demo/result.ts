import type { Meter } from './measure.ts';
import type { Proof } from './prove.ts';
import type { Recovery } from './recover.ts';
import { count, duration, proofText } from './view.ts';

/** The figures of `changeover demo --json`. Its shape is a promise: `schema` changes with it. */
export interface Result {
  readonly schema: 'changeover.demo/1';
  /** What carried the changes: `log`, `kafka`, `rabbitmq` or `nats`. */
  readonly broker: string;
  readonly seconds: number;
  readonly transactions: number;
  readonly rows: number;
  readonly transactionsPerSecond: number;
  readonly lagMs: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly readings: number;
  readonly torn: number;
  readonly kills: readonly {
    readonly part: string;
    readonly atMs: number;
    readonly recoveredMs: number | null;
    readonly equal: boolean;
    /** True: nobody asked for it. */
    readonly unasked: boolean;
  }[];
  /** The last proof: null when the demo was stopped before there was one. */
  readonly equal: boolean | null;
  readonly tables: number;
  readonly rowsCompared: number;
}

export interface Outcome {
  readonly broker: string;
  readonly workMs: number;
  readonly transactions: number;
  readonly rows: number;
  readonly meter: Pick<Meter, 'lags' | 'readings' | 'tornReadings'>;
  readonly recoveries: readonly Recovery[];
  readonly proof: Proof | undefined;
}

export function resultOf({ broker, workMs, transactions, rows, meter, recoveries, proof }: Outcome): Result {
  const seconds = Math.round(workMs / 100) / 10;
  return {
    schema: 'changeover.demo/1',
    broker,
    seconds,
    transactions,
    rows,
    transactionsPerSecond: workMs > 0 ? Math.round((transactions * 10_000) / workMs) / 10 : 0,
    lagMs: meter.lags(),
    readings: meter.readings,
    torn: meter.tornReadings,
    kills: recoveries.map(({ part, atMs, recoveredMs = null, proof: after, words }) => ({
      part,
      atMs,
      recoveredMs,
      equal: after?.equal ?? false,
      unasked: words !== undefined,
    })),
    equal: proof?.equal ?? null,
    tables: proof?.tables ?? 0,
    rowsCompared: proof?.rows ?? 0,
  };
}

/** Nothing wrong was seen: no torn reading, no proof that failed. */
export const isClean = ({ torn, kills, equal }: Result): boolean =>
  torn === 0 && equal !== false && kills.every((kill) => kill.equal);

/** The end of what a part said before it ended by itself. */
const wordLinesMax = 6;

export interface Told {
  readonly result: Result;
  readonly proof: Proof | undefined;
  readonly recoveries: readonly Recovery[];
}

/** For the person, after the view is gone. The first line is the verdict. */
export function summary({ result, proof, recoveries }: Told): readonly string[] {
  const { lagMs } = result;
  return [
    proof ? `${proofText(proof)} on both sides` : 'stopped before a last proof: nothing is said about equality',
    `${count(result.transactions)} transactions, ${count(result.rows)} row changes in ${result.seconds} s`,
    `${count(result.readings)} readings of the secondary, ${result.torn} torn`,
    `lag: half of the time at most ${duration(lagMs.p50)}, 99 % ${duration(lagMs.p99)}, at worst ${duration(lagMs.max)}`,
    ...recoveries.flatMap(({ part, atMs, recoveredMs, proof: after, words }) => {
      const back = recoveredMs === undefined ? 'was not back' : `was back in step after ${duration(recoveredMs)}`;
      const how = words === undefined ? 'killed' : 'ended unasked';
      const told = `${part}, ${how} at ${(atMs / 1000).toFixed(1)} s, ${back}; ${after?.equal ? 'equal' : 'NOT PROVED EQUAL'}`;
      return words
        ? [
            told,
            ...words
              .split('\n')
              .slice(-wordLinesMax)
              .map((one) => `  ${one}`),
          ]
        : [told];
    }),
  ];
}
