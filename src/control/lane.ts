import type { BrokerInspector, BrokerReader } from '../broker/broker.ts';
import type { SourceInspector } from '../source/source.ts';
import type { TargetInspector } from '../target/target.ts';

/** One primary, its log and the secondaries fed from it: what to call them, and how to reach each. Each call opens anew; the
 *  caller disposes. */
export interface Lane {
  readonly name: string;
  /** The data folder. */
  readonly folder: string;
  readonly primary: string;
  readonly secondaries: readonly string[];
  readonly limits: LaneLimits;
  readonly source: (signal: AbortSignal) => Promise<SourceInspector>;
  readonly broker: (signal: AbortSignal) => Promise<BrokerInspector>;
  readonly log: (signal: AbortSignal) => Promise<BrokerReader>;
  readonly target: (site: string, signal: AbortSignal) => Promise<TargetInspector>;
}

export interface LaneLimits {
  /** Behind by more than this is lagging. */
  readonly lagMsMax: number;
  /** WAL that the primary may keep on our account before that is worth a warning. */
  readonly walBudgetBytes: number;
}
