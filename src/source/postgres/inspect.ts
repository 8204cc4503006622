import { randomUUID } from 'node:crypto';
import { askPrefix, askText } from '../../change/ask.ts';
import type { Position } from '../../change/position.ts';
import type { Connection, ConnectOptions } from '../../engine/postgres/connect.ts';
import { quoteIdentifier } from '../../engine/postgres/identifier.ts';
import { type Lsn, parseLsn, positionOf } from '../../engine/postgres/lsn.ts';
import { sessionOf } from '../../engine/postgres/session.ts';
import { openSnapshot } from '../../engine/postgres/snapshot.ts';
import { assert, ChangeoverError } from '../../error.ts';
import type { Kept, SourceInspector, SourceObservation } from '../source.ts';
import { arm } from './arm.ts';
import { checkSource } from './check.ts';
import type { Wanted } from './coverage.ts';
import { removeTriggers } from './ddl/install.ts';
import type { Excerpts } from './excerpt.ts';
import { takeFoothold } from './foothold.ts';
import { namesOf } from './names.ts';
import { readProfile } from './profile.ts';
import { dropSlot } from './slot.ts';
import { sourceView } from './view.ts';

export interface SourceInspectorOptions {
  readonly url: string;
  /** Of the lane. */
  readonly name: string;
  readonly wanted: Wanted;
  /** Undefined: every table is carried whole. */
  readonly excerpts?: Excerpts | undefined;
  /** The most log that the primary may keep on our account. */
  readonly walBudgetBytes?: number;
  /** How findings name this side. */
  readonly site?: string;
  /** Milliseconds since 1970. Default: this machine's clock. */
  readonly now?: () => number;
}

/** Connects when first asked, so that an unreachable server is a finding of `check` and no failure to open. Throws CONFIG_INVALID. */
export function openSourceInspector(options: SourceInspectorOptions): SourceInspector {
  const { url, name, wanted, excerpts, walBudgetBytes, site = 'primary', now = Date.now } = options;
  const { slot, publication } = namesOf(name);
  const connecting: ConnectOptions = { url, side: 'SOURCE', application: 'changeover inspect' };
  const session = sessionOf(connecting);
  return {
    observe: (signal) => session.use((connection) => observe(connection, slot), signal),
    mark: (signal) => session.use(mark, signal),
    ask: (ask, signal) => session.use((connection) => emit(connection, askPrefix, askText(ask)), signal),
    async view(snapshot, signal) {
      const connection = await openSnapshot(connecting, snapshot, signal);
      return sourceView({ connection, wanted, excerpts });
    },
    profile: (signal) => session.use((connection) => readProfile(connection, wanted), signal),
    arm: (signal) => session.use((connection) => arm(connection, { slot, publication, wanted, excerpts }), signal),
    foothold: (request, signal) =>
      takeFoothold({ connecting, slot, publication, wanted, excerpts, ...request }, signal),
    forget: (signal) => session.use((connection) => forget(connection, { slot, publication }), signal),
    async check(signal) {
      const options = { connect: connecting, slot, publication, wanted, excerpts, walBudgetBytes, now };
      const found = await checkSource(options, signal);
      return found.map((one) => ({ ...one, site }));
    },
    abandon: (signal) => session.use((connection) => dropSlot(connection, slot), signal),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}

/** One statement, so that no value is older than another by more than its run. The flush position is what a reader can have by
 *  now; the insert position is what a vanished primary could have told its clients (synchronous_commit = off) and so bounds
 *  the loss (invariant 10). The functions refuse a standby, hence the cases. */
const observeSql = `
SELECT (SELECT system_identifier FROM pg_control_system()), pg_is_in_recovery(),
  CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END,
  CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn() END,
  (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
  s.restart_lsn, s.confirmed_flush_lsn, s.active, s.wal_status, s.safe_wal_size
FROM (VALUES ($1::name)) wanted (slot) LEFT JOIN pg_replication_slots s ON s.slot_name = wanted.slot`;

async function observe(connection: Connection, slot: string): Promise<SourceObservation> {
  const [row = []] = await connection.rows(observeSql, [slot]);
  const [system, recovering, flushed, inserted, keepMb, restart, confirmed, active, status, safe] = row;
  if (recovering === 't')
    throw new ChangeoverError('SOURCE_UNSUITABLE', 'The source is a standby', {
      hint: 'Give the address of its primary.',
    });
  assert(typeof system === 'string' && Boolean(flushed) && Boolean(inserted), 'A server without a position');
  const at = (text: string | null | undefined): Lsn | undefined => (text ? parseLsn(text) : undefined);
  const end = at(inserted);
  const bytesFrom = (from: Lsn | undefined): number | undefined =>
    from === undefined || end === undefined ? undefined : Math.max(0, Number(end - from));
  const acknowledged = status === 'lost' ? undefined : at(confirmed);
  return {
    position: positionOf(system, parseLsn(flushed ?? '')),
    acknowledged: acknowledged && positionOf(system, acknowledged),
    reading: active === 't',
    retainedBytes: bytesFrom(at(restart)) ?? 0,
    retainedBytesMax: keepMb === '-1' ? undefined : Number(keepMb) * 1024 * 1024,
    kept: keptOf(status),
    safeBytes: typeof safe === 'string' ? Math.max(0, Number(safe)) : undefined,
    notCapturedBytes: bytesFrom(at(confirmed)),
  };
}

const words: readonly string[] = ['reserved', 'extended', 'unreserved', 'lost'] satisfies readonly Kept[];

function keptOf(status: string | null | undefined): Kept | undefined {
  if (status === null || status === undefined) return undefined;
  assert(words.includes(status), `A slot that is ${status}`);
  return status as Kept;
}

/** The position is the end of the message's record, L, not the end M of the commit that follows it, for two reasons.
 *  Whatever was committed before the call wrote its commit record before ours: it ends at or before the place where the
 *  message begins. A checkpoint is the end of some commit and covers all commits up to there; at or beyond L it covers them.
 *  And M > L is itself the end of a commit that the stream carries (messages are streamed), so a checkpoint gets there
 *  with nothing else happening. The log's insert position after the commit would be as safe but not as live: on an idle
 *  server no commit ever ends there.
 *  `local`: the record is on disk, so a walsender may send it; a synchronous standby that is away must not hold us. */
async function mark(connection: Connection): Promise<Position> {
  await connection.rows('SET synchronous_commit = local');
  const content = JSON.stringify({ mark: randomUUID() });
  const [[system, end] = []] = await connection.rows(
    'SELECT (SELECT system_identifier FROM pg_control_system()), pg_logical_emit_message(true, $1, $2)',
    ['changeover', content],
  );
  assert(typeof system === 'string' && typeof end === 'string', 'A message without a position');
  return positionOf(system, parseLsn(end));
}

/** As `mark`. */
async function emit(connection: Connection, prefix: string, text: string): Promise<void> {
  await connection.rows('SET synchronous_commit = local');
  await connection.rows('SELECT pg_logical_emit_message(true, $1, $2)', [prefix, text]);
}

/** The slot first: it is what holds the primary's log. The event triggers tell only while a slot of ours is there. A publication of somebody else was not made by us and stays. */
async function forget(connection: Connection, names: { slot: string; publication: string }): Promise<void> {
  await connection.rows(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND plugin = 'pgoutput'`,
    [names.slot],
  );
  await removeTriggers(connection, names);
  const own = await connection.rows(
    `SELECT FROM pg_publication WHERE pubname = $1 AND pg_has_role(pubowner, 'USAGE')`,
    [names.publication],
  );
  if (own.length > 0) await connection.rows(`DROP PUBLICATION IF EXISTS ${quoteIdentifier(names.publication)}`);
}
