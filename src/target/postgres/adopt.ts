import type { Connection } from '../../engine/postgres/connect.ts';
import type { Checkpoint } from '../target.ts';
import { createCheckpointTableSql, findCheckpointTableSql, replaceCheckpointSql } from './checkpoint.ts';
import { readCheckpoint } from './facts.ts';
import { alone } from './lock.ts';

/** As `TargetInspector.adopt`. What is in the tables is a copy from here on, which a later one may replace. */
export async function adopt(connection: Connection, lane: string, checkpoint: Checkpoint): Promise<void> {
  const [there] = await connection.rows(findCheckpointTableSql);
  if (!there?.[0]) for (const sql of createCheckpointTableSql) await connection.rows(sql);
  await alone(connection, lane, async () => {
    const standing = (await readCheckpoint(connection, lane))?.checkpoint;
    if (standing?.stream === checkpoint.stream && standing.offset >= checkpoint.offset) return;
    await connection.rows('DELETE FROM changeover.checkpoint WHERE lane = $1', [lane]);
    await connection.rows(replaceCheckpointSql(lane, { previous: undefined, next: checkpoint, drifted: 0 }));
    await connection.rows(
      `INSERT INTO changeover.copied
       SELECT $1, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'changeover')
       ON CONFLICT DO NOTHING`,
      [lane],
    );
  });
}

/** As `TargetInspector.resign`. Without its notes nobody takes the tables for a copy that may be emptied. */
export async function resign(connection: Connection, lane: string): Promise<void> {
  const [there] = await connection.rows(findCheckpointTableSql);
  if (!there?.[0]) return;
  await alone(connection, lane, async () => {
    await connection.rows('DELETE FROM changeover.checkpoint WHERE lane = $1', [lane]);
    await connection.rows('DELETE FROM changeover.copied WHERE lane = $1', [lane]);
  });
}
