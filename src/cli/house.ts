import type { Broker, BrokerInspector, BrokerReader } from '../broker/broker.ts';
import type { KeyRing } from '../broker/key-ring.ts';
import type { Offset, Position } from '../change/position.ts';
import type { Configuration } from '../config/configuration.ts';
import type { Role } from '../control/agents.ts';
import type { Helm } from '../helm/helm.ts';
import type { Source, SourceInspector } from '../source/source.ts';
import type { TargetInspector } from '../target/target.ts';
import type { Bridged } from '../verify/bridge.ts';
import type { Resynced } from '../verify/resync.ts';

/** What the commands ask of the rest of the house. The composition root implements it; tests may too. Whoever opens, disposes. */
export interface House {
  /** The questions to the site that leads. */
  sourceInspector(configuration: Configuration, site: string, signal: AbortSignal): Promise<SourceInspector>;
  targetInspector(configuration: Configuration, site: string, signal: AbortSignal): Promise<TargetInspector>;
  helm(
    configuration: Configuration,
    at: { readonly site: string; readonly side: 'primary' | 'secondary' },
    signal: AbortSignal,
  ): Promise<Helm>;
  /** Why the lead cannot move in this installation. Undefined: it can. */
  immovable(configuration: Configuration): string | undefined;
  brokerInspector(configuration: Configuration, signal: AbortSignal): Promise<BrokerInspector>;
  /** Throws BROKER_EMPTY where no log has begun. */
  logReader(configuration: Configuration, signal: AbortSignal): Promise<BrokerReader>;
  /** Reads the whole log: findings in order, the last one `whole` or `broken`. */
  verifyLog(configuration: Configuration, signal: AbortSignal): AsyncIterable<LogFinding>;
  /** The keys that seal. Undefined: the configuration asks for no seal. */
  keyRing(configuration: Configuration): Promise<KeyRing | undefined>;
  /** Brings a lane that lost its place at the primary back by what differs. Throws BROKER_LOCKED, TARGET_BUSY while somebody is at work. */
  resync(configuration: Configuration, how: ResyncHow, signal: AbortSignal): Promise<Resynced>;
  /** For reading what a site has that led before. */
  source(configuration: Configuration, site: string): Promise<Source>;
  /** The ledgers of orphans that are here. */
  ledgers(configuration: Configuration): Promise<readonly Ledger[]>;
  /** For writing; begins the ledger where there is none. Throws BROKER_LOCKED while another does. */
  openLedger(configuration: Configuration, ledger: Ledger, signal: AbortSignal): Promise<Broker>;
  ledgerReader(configuration: Configuration, ledger: Ledger, signal: AbortSignal): Promise<BrokerReader>;
  /** Does the work of the roles until `signal` aborts, then resolves. Rejects with what stopped them. */
  run(configuration: Configuration, options: RunOptions, signal: AbortSignal): Promise<void>;
  /** Resolves to the exit code. */
  demo(options: DemoOptions, signal: AbortSignal): Promise<number>;
}

export interface ResyncHow {
  /** Only says what differs. */
  readonly dryRun: boolean;
  readonly onTable: (bridged: Bridged) => void;
}

/** Names what a site committed behind the end of an epoch in which it led. */
export interface Ledger {
  readonly epoch: number;
  /** The log in which the epoch is. */
  readonly stream: string;
  readonly site: string;
}

export interface RunOptions {
  readonly roles: readonly Role[];
  /** Apply to this secondary only. Default: to each. */
  readonly site?: string;
  /** Forget everything at the sites and in the log, and begin with a new copy. */
  readonly restart: boolean;
  /** Wait until nobody else does it, and again when it is lost to somebody else. */
  readonly standby: boolean;
  /** Takes one line for people at a time: what began, what healed, what failed. Never a row value, never a secret. */
  readonly report: (line: string) => void;
}

export interface DemoOptions {
  readonly seconds?: number;
  readonly kill: readonly string[];
  readonly broker: string;
  readonly json: boolean;
  /** Transactions per second. */
  readonly rate: number;
}

export interface LogCounts {
  readonly segments: number;
  readonly entries: number;
  readonly bytes: number;
}

/** What a verification of the log says. */
export type LogFinding =
  | { readonly kind: 'segment'; readonly first: Offset; readonly next: Offset; readonly total: LogCounts }
  | {
      readonly kind: 'broken';
      readonly total: LogCounts;
      /** First entry of the segment's file, the entry that should stand there, and the byte in the file. */
      readonly segment: Offset;
      readonly offset: Offset;
      readonly position: number;
      readonly why: string;
    }
  | {
      readonly kind: 'whole';
      readonly stream: string;
      readonly first: Offset;
      readonly state: { readonly next: Offset; readonly end?: Position | undefined };
      readonly total: LogCounts;
    };
