import { createHash } from 'node:crypto';
import type { Message } from '../../change/change.ts';
import type { Position } from '../../change/position.ts';
import { type Table, tableName } from '../../change/table.ts';
import { type Lsn, lsn, positionOf, timeline, timelineOf } from '../../engine/postgres/lsn.ts';
import type { Range } from './ranges.ts';

/* What a snapshot tells of itself on its way through the broker, for whoever goes on with it after a crash. JSON in messages, which
   apply passes over. */

/** No application's: messages of the source's stream are left out of a run that has these. */
const prefix = 'changeover copy';

type Told =
  /** Before the slot is made: one of this name that stands exactly at one of these places is ours. */
  | { readonly told: 'claimed'; readonly slot: string; readonly origin: string; readonly at: readonly string[] }
  /** Begins a copy, or goes on with one: what was told before is in here, or void. */
  | {
      readonly told: 'opened';
      readonly origin: string;
      /** Of the position; the first one where it is not said. */
      readonly timeline?: number;
      readonly at: string;
      readonly changes: number;
      /** Of every table, so that it is known again. */
      readonly tables: Readonly<Record<string, string>>;
      readonly copied: readonly string[];
      readonly parts: Readonly<Record<string, Parts>>;
    }
  /** Of a table that can be gone on with, these pages of this file are in the broker. */
  | {
      readonly told: 'part';
      readonly table: string;
      readonly file: string;
      readonly from?: number;
      readonly to?: number;
    }
  /** All rows of a table are in the broker. */
  | { readonly told: 'copied'; readonly table: string }
  /** All that is copied is in the broker as of this position, and of the transaction behind it so many changes. */
  | { readonly told: 'caughtUp'; readonly at: string; readonly changes: number };

const message = (told: Told): Message => ({ kind: 'message', prefix, content: Buffer.from(JSON.stringify(told)) });

/** What is copied of a table. Its rows lie elsewhere once it was rewritten into another file. */
export interface Parts {
  readonly file: string;
  readonly done: readonly Range[];
}

export interface Opening {
  /** The position that what is copied is as of. */
  readonly at: Position;
  /** How many changes of the transaction behind `at` are in the broker too: it is too big to hold. */
  readonly changes: number;
  readonly tables: ReadonlyMap<string, string>;
  /** Names of tables whose rows are all in the broker. */
  readonly copied: readonly string[];
  readonly parts: ReadonlyMap<string, Parts>;
}

/** A slot, by what nobody else's has: it stands where it was made until the copy is whole, and each is made at a place of its own. */
export interface Claim {
  readonly slot: string;
  readonly origin: string;
  /** Those of the runs before it, too: what a dead process asked for may come to stand late. The last is this run's. */
  readonly at: readonly Lsn[];
}

const claimedMax = 8;

/** Claims one more place. */
export const claimedMessage = ({ slot, origin, at }: Claim, more: Lsn): Message =>
  message({ told: 'claimed', slot, origin, at: [...at, more].slice(-claimedMax).map(String) });

export const openedMessage = ({ at, changes, tables, copied, parts }: Opening): Message =>
  message({
    told: 'opened',
    origin: at.origin,
    timeline: timelineOf(at),
    at: String(at.order),
    changes,
    tables: Object.fromEntries(tables),
    copied,
    parts: Object.fromEntries(parts),
  });

export const copiedMessage = (table: Table): Message => message({ told: 'copied', table: tableName(table) });

export const partMessage = (table: Table, file: string, { from, to }: Range): Message =>
  message({
    told: 'part',
    table: tableName(table),
    file,
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
  });

export const caughtUpMessage = (at: Position, changes: number): Message =>
  message({ told: 'caughtUp', at: String(at.order), changes });

/** What tells that a table is the same and has the same shape. */
export const fingerprint = (oid: string, { identity, columns }: Table): string =>
  createHash('sha256')
    .update(JSON.stringify([oid, identity, columns]))
    .digest('base64url')
    .slice(0, 22);

/** What the last run of pieces claimed. Undefined: the messages do not reach back to its beginning. */
export function claimOf(messages: readonly Message[]): Claim | undefined {
  let claim: Claim | undefined;
  for (const one of messages) {
    if (one.prefix !== prefix) continue;
    const told = JSON.parse(one.content.toString()) as Told;
    if (told.told === 'claimed')
      claim = { slot: told.slot, origin: told.origin, at: told.at.map((at) => lsn(BigInt(at))) };
  }
  return claim;
}

/** How far a snapshot came, by its messages in their order. Undefined: it told nothing that one could go on with. */
export function progressOf(messages: readonly Message[]): Opening | undefined {
  let opening: Opening | undefined;
  for (const one of messages) {
    if (one.prefix !== prefix) continue;
    const told = JSON.parse(one.content.toString()) as Told;
    if (told.told === 'opened') {
      const at = positionOf(told.origin, lsn(BigInt(told.at)), timeline(told.timeline ?? 1));
      opening = {
        at,
        changes: told.changes,
        tables: new Map(Object.entries(told.tables)),
        copied: told.copied,
        parts: new Map(Object.entries(told.parts)),
      };
    } else if (opening && told.told === 'part') {
      opening = { ...opening, parts: withPart(opening.parts, told) };
    } else if (opening && told.told === 'copied') {
      opening = { ...opening, copied: [...opening.copied, told.table] };
    } else if (opening && told.told === 'caughtUp') {
      opening = {
        ...opening,
        at: positionOf(opening.at.origin, lsn(BigInt(told.at)), timelineOf(opening.at)),
        changes: told.changes,
      };
    }
  }
  return opening;
}

function withPart(
  parts: ReadonlyMap<string, Parts>,
  { table, file, from, to }: Extract<Told, { told: 'part' }>,
): ReadonlyMap<string, Parts> {
  const known = parts.get(table);
  const done = known?.file === file ? known.done : [];
  return new Map(parts).set(table, { file, done: [...done, { from, to }] });
}
