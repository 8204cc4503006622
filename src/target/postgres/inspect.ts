import type { Connection, ConnectOptions } from '../../engine/postgres/connect.ts';
import { sessionOf } from '../../engine/postgres/session.ts';
import type { TargetInspector, TargetObservation } from '../target.ts';
import { adopt, resign } from './adopt.ts';
import { checkTarget } from './check.ts';
import { giveUpCheckpointSql } from './checkpoint.ts';
import { readCheckpoint } from './facts.ts';
import { alone } from './lock.ts';
import { lockKey } from './names.ts';
import { readSetAside, writeSetAside } from './set-aside.ts';
import { enterShown } from './show.ts';
import { targetView } from './view.ts';

export interface TargetInspectorOptions {
  readonly url: string;
  /** Of the lane. */
  readonly name: string;
  /** How findings name this side. */
  readonly site?: string;
  /** Milliseconds since 1970. Default: this machine's clock. */
  readonly now?: () => number;
}

/** Connects when first asked, so that an unreachable server is a finding of `check` and no failure to open. */
export function openTargetInspector(options: TargetInspectorOptions): TargetInspector {
  const { url, name, site = 'secondary', now = Date.now } = options;
  const connecting: ConnectOptions = { url, side: 'TARGET', application: 'changeover inspect' };
  const session = sessionOf(connecting);
  return {
    observe: (signal) => session.use((connection) => observe(connection, name), signal),
    async view(id, signal) {
      const shown = await session.use(
        (connection) => enterShown(connection, { lane: name, id, options: connecting }, signal),
        signal,
      );
      return shown && targetView(shown);
    },
    forget: (signal) => session.use((connection) => alone(connection, name, () => giveUp(connection, name)), signal),
    setAside: (table, signal) =>
      session.use((connection) => alone(connection, name, () => writeSetAside(connection, name, table)), signal),
    adopt: (checkpoint, signal) => session.use((connection) => adopt(connection, name, checkpoint), signal),
    resign: (signal) => session.use((connection) => resign(connection, name), signal),
    async check(source, signal) {
      const found = await checkTarget({ connect: connecting, lane: name, source, now }, signal);
      return found.map((one) => ({ ...one, site }));
    },
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}

/** A 64-bit advisory lock stands in pg_locks in two halves, told from a pair of 32-bit keys by objsubid.
 *  https://www.postgresql.org/docs/current/view-pg-locks.html */
const writingSql = `
SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND (l.classid::bigint << 32 | l.objid::bigint) = $1)`;

async function observe(connection: Connection, lane: string): Promise<TargetObservation> {
  const [[writing] = []] = await connection.rows(writingSql, [lockKey(lane)]);
  const kept = await readCheckpoint(connection, lane);
  const setAside = await readSetAside(connection, lane);
  return { checkpoint: kept?.checkpoint, writing: writing === 't', drifted: kept?.drifted ?? 0, setAside };
}

async function giveUp(connection: Connection, lane: string): Promise<void> {
  if ((await readCheckpoint(connection, lane)) !== undefined) await connection.rows(giveUpCheckpointSql(lane));
}
