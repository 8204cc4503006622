import { unreadable } from './bytes.ts';

export type MoveKind = 'switchover' | 'failover';

/** The last value that a sequence handed out, or the first that it will where it was never called. Big numbers as text. */
export interface SequenceValue {
  readonly last: string;
  readonly called: boolean;
}

/** What would be lost if the secondary led from here: shown before it is accepted, and kept with the acceptance. */
export interface Loss {
  /** In the log and not at the secondary yet: none of it is lost, it only takes time. */
  readonly toApply: { readonly entries: number; readonly bytes: number };
  /** Read from the primary and not on the log's disk. */
  readonly notDurableBytes: number;
  /** Seen at the primary and not captured, by the last look at it. Undefined: nobody ever looked. */
  readonly known: { readonly bytes: number; readonly transactions: number } | undefined;
  /** When the last look was that everything committed before is in the log, by our clock. Undefined: there was none. */
  readonly coveredAtMs: number | undefined;
  /** Everything that may be lost was committed within so many milliseconds before the question. Undefined: nobody knows. */
  readonly boundMs: number | undefined;
}

/** What a comparison of two databases looked at: what it did not look at is named, too (invariant 12). */
export interface Comparison {
  readonly equal: number;
  readonly rows: number;
  readonly notCompared: readonly string[];
}

interface Told {
  /** Of the move that it belongs to. */
  readonly id: string;
  /** Milliseconds since 1970 by the coordinator's clock: a label (invariant 16). */
  readonly atMs: number;
}

/** An entry of the journal: what the control plane did or decided, in the past tense. */
export type ControlEvent =
  | (Told & {
      readonly kind: 'asked';
      readonly what: MoveKind;
      readonly from: string;
      readonly to: string;
      /** That leads while it is asked. */
      readonly epoch: number;
      readonly loss?: Loss | undefined;
    })
  | (Told & { readonly kind: 'refused'; readonly code: string; readonly message: string })
  | (Told & { readonly kind: 'armed' })
  | (Told & {
      readonly kind: 'fenced';
      readonly roles: readonly string[];
      /** Roles whose refusal was tried out by a login. The others are shut by the catalog's word. */
      readonly proved: readonly string[];
      /** Sessions that were there in the name of roles that cannot be shut out. */
      readonly unfenced: readonly string[];
    })
  | (Told & { readonly kind: 'sealed'; readonly position: string })
  | (Told & { readonly kind: 'proved'; readonly comparison: Comparison | undefined; readonly sequences: number })
  | (Told & {
      readonly kind: 'promoted';
      readonly what: MoveKind;
      readonly from: string;
      readonly leader: string;
      readonly epoch: number;
    })
  | (Told & { readonly kind: 'opened'; readonly roles: readonly string[] })
  | (Told & { readonly kind: 'finished' })
  | (Told & { readonly kind: 'cancelling'; readonly code: string; readonly message: string })
  | (Told & { readonly kind: 'cancelled' })
  | {
      readonly kind: 'sampled';
      readonly atMs: number;
      readonly leader: string;
      readonly epoch: number;
      /** Those that moved since the sample before, by name as SQL writes it. */
      readonly sequences: Readonly<Record<string, SequenceValue>>;
    };

const version = 1;
const kinds: readonly string[] = [
  'asked',
  'refused',
  'armed',
  'fenced',
  'sealed',
  'proved',
  'promoted',
  'opened',
  'finished',
  'cancelling',
  'cancelled',
  'sampled',
] satisfies readonly ControlEvent['kind'][];

/** JSON: there are few of them, a person may have to read one at night, and more will be known of each. */
export const encodeControl = (event: ControlEvent): Buffer => Buffer.from(JSON.stringify({ version, ...event }));

/** Throws BROKER_CORRUPT for what no version up to this one wrote: who leads must not be guessed. */
export function decodeControl(bytes: Buffer): ControlEvent {
  const { version: found, ...event } = parsed(bytes);
  if (found !== version)
    throw unreadable(`a control entry has version ${String(found)}, this program reads ${version}`);
  if (typeof event.kind !== 'string' || !kinds.includes(event.kind))
    throw unreadable(`unknown kind of control entry ${String(event.kind)}`);
  return event as unknown as ControlEvent;
}

function parsed(bytes: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch {
    // Told below, in one way for all that is no JSON of ours.
  }
  throw unreadable('a control entry is no JSON');
}
