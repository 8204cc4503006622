import { epoch, offset } from '../../change/position.ts';
import { quoteLiteral } from '../../engine/postgres/identifier.ts';
import { assert } from '../../error.ts';
import type { Checkpoint } from '../target.ts';

/** Our own schema at a target. Nothing of the user's is in it, and it is never replicated. */
export const ownSchema = 'changeover';
export const checkpointTable = { schema: ownSchema, name: 'checkpoint' };

/** A checkpoint as the target keeps it. */
export interface CheckpointRow {
  /** Undefined: a copy was given up. */
  readonly checkpoint: Checkpoint | undefined;
  readonly stream: string;
  readonly epoch: string;
  readonly offset: string;
  /** Rows that were missing or in the way, since the copy began. */
  readonly drifted: number;
}

/** Null where the table is missing. */
export const findCheckpointTableSql = `SELECT pg_catalog.to_regclass('changeover.checkpoint')`;

/** Only where the table is missing: CREATE SCHEMA IF NOT EXISTS asks for the privilege to create even where it does nothing.
 *  `log_offset`, because OFFSET is a word of SQL; the order is numeric, because an LSN has 64 bits without a sign; the room in
 *  each page keeps the row, which every transaction updates, in its place. */
export const createCheckpointTableSql = [
  'CREATE SCHEMA IF NOT EXISTS changeover',
  // Before the checkpoint, whose presence says that all is there.
  `CREATE TABLE IF NOT EXISTS changeover.copied (
     lane text, table_schema text, table_name text, PRIMARY KEY (lane, table_schema, table_name))`,
  `CREATE TABLE IF NOT EXISTS changeover.checkpoint (
     lane text PRIMARY KEY, stream text NOT NULL, epoch bigint NOT NULL, log_offset bigint NOT NULL,
     origin text, position_order numeric, position_token text,
     drifted bigint NOT NULL DEFAULT 0, updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp())
   WITH (fillfactor = 50)`,
] as const;

/** At most one row, for `checkpointRow`. */
export const readCheckpointSql = (lane: string): string =>
  `SELECT stream, epoch, log_offset, origin, position_order, position_token, drifted
   FROM changeover.checkpoint WHERE lane = ${quoteLiteral(lane)}`;

export function checkpointRow(row: readonly (string | null)[]): CheckpointRow {
  const [stream, at, place, origin, order, token, drifted] = row;
  assert(typeof stream === 'string' && Boolean(at) && Boolean(place), 'A checkpoint without its columns');
  const parts = [origin, order, token].filter((part) => typeof part === 'string').length;
  assert(parts === 0 || parts === 3, 'A checkpoint with a part of a position');
  const position = origin && order && token ? { origin, order: BigInt(order), token } : undefined;
  const checkpoint = { stream, epoch: epoch(Number(at)), offset: offset(Number(place)), position };
  return {
    checkpoint: stream === '' ? undefined : checkpoint,
    stream,
    epoch: at ?? '',
    offset: place ?? '',
    drifted: Number(drifted ?? 0),
  };
}

export interface CheckpointStep {
  /** What must be there. Undefined: nothing. */
  readonly previous: Pick<CheckpointRow, 'checkpoint' | 'stream' | 'epoch' | 'offset'> | undefined;
  readonly next: Checkpoint;
  /** Added to what was counted before. */
  readonly drifted: number;
}

/** To run within the transaction that wrote the rows (invariant 4). Touches exactly one row, or the checkpoint is not `previous` any
 *  more: then somebody else applied, or the lane was reset, and nothing may be committed (invariant 7). */
export function replaceCheckpointSql(lane: string, { previous, next, drifted }: CheckpointStep): string {
  const former = previous?.checkpoint;
  assert(former === undefined || next.epoch >= former.epoch, 'An epoch that goes back');
  assert(former?.stream !== next.stream || next.offset >= former.offset, 'An offset that goes back');
  const { position } = next;
  const values = [
    quoteLiteral(next.stream),
    next.epoch,
    next.offset,
    ...(position
      ? [quoteLiteral(position.origin), position.order, quoteLiteral(position.token)]
      : ['NULL', 'NULL', 'NULL']),
  ].join(', ');
  if (previous === undefined)
    return `INSERT INTO changeover.checkpoint (lane, stream, epoch, log_offset, origin, position_order, position_token, drifted)
      VALUES (${quoteLiteral(lane)}, ${values}, ${drifted}) ON CONFLICT (lane) DO NOTHING`;
  return `UPDATE changeover.checkpoint SET (stream, epoch, log_offset, origin, position_order, position_token, drifted, updated_at)
    = (${values}, drifted + ${drifted}, pg_catalog.clock_timestamp())
    WHERE lane = ${quoteLiteral(lane)} AND stream = ${quoteLiteral(previous.stream)}
      AND epoch = ${previous.epoch} AND log_offset = ${previous.offset}`;
}

/** Gives a copy up: the next snapshot may begin, and may empty the tables that were copied before. */
export const giveUpCheckpointSql = (lane: string): string =>
  `UPDATE changeover.checkpoint SET (stream, origin, position_order, position_token, drifted, updated_at)
   = ('', NULL, NULL, NULL, 0, pg_catalog.clock_timestamp()) WHERE lane = ${quoteLiteral(lane)}`;

/** The tables that the lane copied into, ever: what is in them is ours, and a new copy may empty them. */
export const readCopiedSql = (lane: string): string =>
  `SELECT table_schema, table_name FROM changeover.copied WHERE lane = ${quoteLiteral(lane)}`;

export function addCopiedSql(
  lane: string,
  tables: readonly { readonly schema: string; readonly name: string }[],
): string {
  const rows = tables.map(
    ({ schema, name }) => `(${[lane, schema, name].map((text) => quoteLiteral(text)).join(', ')})`,
  );
  return `INSERT INTO changeover.copied (lane, table_schema, table_name) VALUES ${rows.join(', ')} ON CONFLICT DO NOTHING`;
}
