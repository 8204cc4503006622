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

export const formatLsn = (value: bigint): string =>
  `${(value >> 32n).toString(16).toUpperCase()}/${(value & 0xffffffffn).toString(16).toUpperCase()}`;

/** `system`: the system identifier of the cluster, which names the history that LSNs are comparable in. */
export const positionOf = (system: string, at: Lsn): Position => ({ origin: system, order: at, token: formatLsn(at) });
