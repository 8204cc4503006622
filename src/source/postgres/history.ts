import type { Position } from '../../change/position.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { formatLsn, type Lsn, parseLsn, type Timeline, timeline, timelineOf } from '../../engine/postgres/lsn.ts';
import { ChangeoverError, isCode } from '../../error.ts';

/** Which cluster a server belongs to, and which branch of its history the server is on. */
export interface History {
  readonly system: string;
  readonly timeline: Timeline;
  /** Where the branches before this one were left. */
  readonly forks: ReadonlyMap<Timeline, Lsn>;
  /** How far the server's write-ahead log reaches. */
  readonly end: Lsn;
}

/** `walsender` must be a replication connection.
 *  https://www.postgresql.org/docs/current/protocol-replication.html (IDENTIFY_SYSTEM, TIMELINE_HISTORY) */
export async function readHistory(walsender: Connection): Promise<History> {
  const [row] = await walsender.rows('IDENTIFY_SYSTEM');
  const [system, on, end] = row ?? [];
  if (!system || !on || !end) throw new ChangeoverError('SOURCE_PROTOCOL', 'The primary did not identify itself');
  const now = timeline(Number(on));
  return { system, timeline: now, forks: await forksOf(walsender, now), end: parseLsn(end) };
}

async function forksOf(walsender: Connection, now: Timeline): Promise<ReadonlyMap<Timeline, Lsn>> {
  if (now === 1) return new Map();
  const [row] = await walsender.rows(`TIMELINE_HISTORY ${now}`).catch((error: unknown) => {
    // The file is gone: then nothing from before the last promotion can be proved, and nothing else needs it.
    if (isCode(error, 'SOURCE_FAILED')) return [];
    throw error;
  });
  return parseHistory(row?.[1] ?? '');
}

/** Each line: a timeline, where it was left, why. */
export function parseHistory(content: string): ReadonlyMap<Timeline, Lsn> {
  const lines = content.split('\n').map((line) => /^\s*(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)/.exec(line));
  return new Map(lines.flatMap((found) => (found ? [[timeline(Number(found[1])), parseLsn(found[2] ?? '')]] : [])));
}

/** Proves that what is at the position is in this server's past (invariant 5). Throws SOURCE_POSITION_LOST. */
export function proveInPast(after: Position, history: History): void {
  if (history.system !== after.origin)
    throw new ChangeoverError(
      'SOURCE_POSITION_LOST',
      `The log ends at ${after.token} of cluster ${after.origin}, but this server belongs to cluster ${history.system}`,
      {
        hint: 'Point to the primary that the log was captured from, or start over with a new copy: changeover replicate --restart.',
      },
    );
  const on = timelineOf(after);
  if (on === history.timeline) return;
  const fork = history.forks.get(on);
  if (fork === undefined)
    throw new ChangeoverError(
      'SOURCE_POSITION_LOST',
      `The log ends at ${after.token}, on timeline ${on}, which is not in the past of this server on timeline ${history.timeline}`,
      {
        hint: 'Another standby was promoted, or this is the former primary. Point to the server that leads, or start over with a new copy: changeover replicate --restart.',
      },
    );
  if (after.order > fork)
    throw new ChangeoverError(
      'SOURCE_POSITION_LOST',
      `The server was promoted to timeline ${history.timeline} and left timeline ${on} at ${formatLsn(fork)}; the log ends behind that, at ${after.token}: it holds transactions that this server never had`,
      {
        hint: 'Nothing was undone at the secondary, which has them. Look them through, then start over with a new copy of this server: changeover replicate --restart. On PostgreSQL 17 and later, synchronized_standby_slots keeps this from happening.',
      },
    );
}
