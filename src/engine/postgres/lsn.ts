import type { Brand, Position } from '../../change/position.ts';
import { ChangeoverError } from '../../error.ts';

/** A byte position in PostgreSQL's write-ahead log. */
export type Lsn = Brand<bigint, 'Lsn'>;

/** From the wire: any 64-bit number is one. */
export const lsn = (value: bigint): Lsn => value as Lsn;

/** Parses `16/B374D848`. https://www.postgresql.org/docs/current/datatype-pg-lsn.html */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (!match?.[1] || !match[2]) throw new ChangeoverError('SOURCE_PROTOCOL', `Not an LSN: ${text}`);
  return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)) as Lsn;
}

export const formatLsn = (value: bigint): string => `${hex(Number(value >> 32n))}/${hex(Number(value & 0xffffffffn))}`;

const hex = (value: number): string => value.toString(16).toUpperCase();

/** Counts from 1; grows with each promotion of a standby. https://www.postgresql.org/docs/current/continuous-archiving.html (Timelines) */
export type Timeline = Brand<number, 'Timeline'>;

export function timeline(value: number): Timeline {
  if (!Number.isInteger(value) || value < 1) throw new ChangeoverError('SOURCE_PROTOCOL', `Not a timeline: ${value}`);
  return value as Timeline;
}

export const firstTimeline = timeline(1);

/** `system`: the system identifier of the cluster, which names the history that LSNs are comparable in. `on`: where a standby was promoted
 *  since, the token says on which branch of that history it was read. */
export const positionOf = (system: string, at: Lsn, on: Timeline = firstTimeline): Position => ({
  origin: system,
  order: at,
  token: on === firstTimeline ? formatLsn(at) : `${formatLsn(at)}@${on}`,
});

/** The branch that a position was read on. */
export const timelineOf = ({ token }: Position): Timeline => timeline(Number(/@(\d+)$/.exec(token)?.[1] ?? 1));
