import type { BrokerReader } from '../broker/broker.ts';
import type { SourceInspector } from '../source/source.ts';
import type { TargetInspector } from '../target/target.ts';

/** One primary, one secondary and the log between them: what to call them, and how to reach each. Each call opens anew; the caller
 *  disposes. */
export interface Sides {
  readonly primary: string;
  readonly site: string;
  readonly source: (signal: AbortSignal) => Promise<SourceInspector>;
  readonly log: (signal: AbortSignal) => Promise<BrokerReader>;
  readonly target: (signal: AbortSignal) => Promise<TargetInspector>;
}
