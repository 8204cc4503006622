import type { TlsPlan } from '../tls.ts';

/** The normalised plan of a lane: what every room but `config` sees. Paths are absolute, durations milliseconds, sizes bytes. */
export interface Configuration {
  /** Names the lane: part of the names of what we make at the primary (slot, publication). */
  readonly name: string;
  /** Everything that we keep on disk lies under here. */
  readonly folder: string;
  readonly sites: readonly Site[];
  /** The site that leads: as the file says for the first start, as the journal says from then on. */
  readonly primary: string;
  /** Sites that a failover left behind: nothing is applied to them. */
  readonly stranded?: readonly string[];
  readonly broker: BrokerPlan;
  /** Undefined: what the broker holds can be read by whoever runs it. */
  readonly seal?: SealPlan;
  readonly tables: readonly TableRule[];
  /** A secret: never print it. */
  readonly maskKey?: string;
  /** By tier. */
  readonly objectives: Readonly<Record<string, Objective>>;
  /** Secondaries are shut to writers from the first start on. */
  readonly guard: boolean;
  readonly heartbeatMs: number;
  /** WAL that the primary may keep on our account before `status` raises it. */
  readonly walBudgetBytes: number;
  /** What capture does beyond it. */
  readonly overBudget: 'warn' | 'release';
  /** Behind by more than this, a secondary is called lagging. */
  readonly lagMsMax: number;
  /** A connection that is silent for longer is looked after. */
  readonly silenceMsMax: number;
}

export interface Site {
  readonly name: string;
  readonly kind: 'postgres';
  /** A connection URL. Holds the password: never print it, see `redactUrl`. */
  readonly url: string;
  /** An address that an application logs in with, to try the fence. Holds a password, too. */
  readonly canary?: string;
  /** `peer` may lead one day; `warehouse` only ever receives. */
  readonly role: 'peer' | 'warehouse';
}

export type BrokerPlan = LogPlan | NatsPlan | KafkaPlan | RabbitPlan;

/** The embedded log. Entries that a known secondary still needs are kept whatever the retention says. */
export interface LogPlan {
  readonly kind: 'log';
  readonly folder: string;
  readonly retentionMs: number;
  readonly retentionBytesMax: number;
}

/** A server of the user's own, which holds the entries instead of our log. */
export interface NatsPlan {
  readonly kind: 'nats';
  /** Addresses of one cluster. They may hold passwords. */
  readonly servers: readonly string[];
  readonly stream: string;
  /** Undefined: in the open, unless an address says `tls://`. */
  readonly tls?: TlsPlan;
  /** Undefined: as the addresses say. */
  readonly login?: NatsLogin;
  /** How long entries are wanted back at the least: what `check` measures the server's own retention by. */
  readonly retentionMs: number;
}

/** Secrets, but for the user. */
export type NatsLogin =
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'nkey'; readonly seed: string }
  | { readonly kind: 'creds'; readonly creds: string };

export interface KafkaPlan {
  readonly kind: 'kafka';
  readonly bootstrap: readonly string[];
  readonly topic: string;
  /** Undefined: in the open. */
  readonly tls?: TlsPlan;
  /** Undefined: as nobody. */
  readonly login?: KafkaLogin;
  readonly retentionMs: number;
}

/** The password is a secret. */
export interface KafkaLogin {
  readonly mechanism: 'scram-sha-512' | 'scram-sha-256' | 'plain';
  readonly user: string;
  readonly password: string;
}

export interface RabbitPlan {
  readonly kind: 'rabbitmq';
  /** May hold a password. */
  readonly url: string;
  readonly stream: string;
  /** Undefined: in the open, unless the address says `amqps://`. */
  readonly tls?: TlsPlan;
  /** Undefined: as the address says. */
  readonly login?: RabbitLogin;
  readonly retentionMs: number;
}

/** The password is a secret. */
export interface RabbitLogin {
  readonly user: string;
  readonly password: string;
}

/** Where the keys are that the broker never sees. */
export type SealPlan =
  | { readonly kind: 'file'; readonly path: string }
  /** The keys as text: a secret. */
  | { readonly kind: 'environment'; readonly keys: string }
  | VaultPlan;

export interface VaultPlan {
  readonly kind: 'vault';
  readonly address: string;
  readonly mount: string;
  readonly key: string;
  /** A secret. */
  readonly token: string;
  readonly namespace: string | undefined;
}

export interface TableRule {
  /** `schema.table` or `table`; see `tables.ts`. */
  readonly match: string;
  readonly tier?: string;
  readonly leaveOut?: boolean;
  /** A condition in the primary's SQL. */
  readonly rows?: string;
  readonly leaveOutColumns?: readonly string[];
  /** By column. */
  readonly masks?: Readonly<Record<string, MaskPlan>>;
}

export type MaskPlan =
  | { readonly kind: 'hash' }
  | { readonly kind: 'null' }
  | { readonly kind: 'fixed'; readonly value: string };

export interface Objective {
  readonly rpoMs?: number;
  readonly rtoMs?: number;
  readonly verifyEveryMs?: number;
}

export const secondariesOf = (configuration: Configuration): readonly Site[] =>
  configuration.sites.filter(
    ({ name }) => name !== configuration.primary && !(configuration.stranded ?? []).includes(name),
  );
