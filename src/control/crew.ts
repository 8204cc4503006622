import type { Helm } from '../helm/helm.ts';
import type { SourceInspector } from '../source/source.ts';
import type { TargetInspector } from '../target/target.ts';
import type { Standing } from './state.ts';

/** The agents of this process, as far as control moves them. */
export interface Crew {
  /** Whether apply agents belong to it: where they run elsewhere, nobody can be sure of them. */
  readonly applies: boolean;
  /** Capture reads the leader, apply feeds those who follow. Whoever is at work on it already goes on. */
  lead(standing: Standing): Promise<void>;
  /** Whether the site is being fed: not, once that stopped for good. */
  isFed(site: string): boolean;
  /** Resolves when capture has stopped and nothing of it is on its way to the log. */
  holdCapture(): Promise<void>;
  /** Resolves when apply has stopped and let go of the site. */
  holdApply(site: string): Promise<void>;
}

/** How control reaches the sites. Each call opens anew; whoever opens, disposes. */
export interface Reach {
  readonly helm: (site: string, side: 'primary' | 'secondary') => Promise<Helm>;
  readonly source: (site: string) => Promise<SourceInspector>;
  readonly target: (site: string) => Promise<TargetInspector>;
}
