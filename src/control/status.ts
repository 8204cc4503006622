import type { BrokerObservation } from '../broker/broker.ts';
import type { Code } from '../error.ts';
import type { SourceObservation } from '../source/source.ts';
import type { TargetObservation } from '../target/target.ts';
import type { AgentLife } from './agents.ts';
import type { Lane } from './lane.ts';

/** Why something could not be observed. */
export interface Trouble {
  readonly code: Code;
  readonly message: string;
  readonly hint: string;
}

/** Something asked of a system that may not answer: that it did not is a fact too. */
export type Observed<T> =
  | { readonly known: true; readonly value: T }
  | { readonly known: false; readonly trouble: Trouble };

export interface AgentSeen extends AgentLife {
  /** Whether its process exists. Undefined: it runs on another machine. */
  readonly alive: boolean | undefined;
}

export interface SecondaryStatus {
  readonly site: string;
  readonly target: Observed<TargetObservation>;
  /** What lies in the log behind the checkpoint. Undefined: the log or the checkpoint is not known. */
  readonly notApplied: { readonly entries: number; readonly bytes: number } | undefined;
  /** When the source committed the last transaction applied, microseconds since 1970 by the source's clock. Known and
   *  undefined: the last entry applied holds no commit, or the log holds that entry no more. */
  readonly appliedAtUs: Observed<bigint | undefined>;
}

/** Everything that was found out about a lane at one moment. Plain facts: `verdict.ts` judges them. */
export interface Status {
  readonly lane: Pick<Lane, 'name' | 'primary' | 'limits'>;
  /** Milliseconds since 1970 by our clock. A label (invariant 16). */
  readonly atMs: number;
  readonly source: Observed<SourceObservation>;
  readonly log: Observed<Omit<BrokerObservation, 'bytesFrom'>>;
  readonly secondaries: readonly SecondaryStatus[];
  readonly agents: readonly AgentSeen[];
}
