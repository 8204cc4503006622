import type { Connection, ConnectOptions } from '../../engine/postgres/connect.ts';
import type { Side } from '../../engine/postgres/failure.ts';
import { parseLsn, positionOf, timeline } from '../../engine/postgres/lsn.ts';
import { sessionOf } from '../../engine/postgres/session.ts';
import { assert } from '../../error.ts';
import type { Helm, Sighting, Survey } from '../helm.ts';
import { tableDigests, tableSizes, type Wanted } from './digest.ts';
import { beyondUs, open, shut, shutRoles } from './fence.ts';
import { raiseSequences, readSequences, sequenceNames } from './sequences.ts';
import { preparedCount, unfencedSessions, writersOf } from './writers.ts';

export interface HelmOptions {
  readonly url: string;
  /** Which side it is on now: decides the prefix of errors. */
  readonly side: Side;
  readonly wanted: Wanted;
  /** An address that the application logs in with, to try the fence. */
  readonly canary?: string | undefined;
  /** A server that does not answer for so long is away. Default 10 s. */
  readonly answerMsMax?: number;
}

/** Connects when first asked. */
export function openHelm({ url, side, wanted, canary, answerMsMax = 10_000 }: HelmOptions): Helm {
  const login: ConnectOptions = { url, side, application: 'changeover control' };
  // A digest takes as long as it takes; a question that should be answered at once does not.
  const brief = sessionOf({ ...login, answerMsMax });
  const patient = sessionOf(login);
  return {
    sight: (signal) => brief.use(sight, signal),
    survey: (signal) => brief.use(survey, signal),
    shut: (signal) => brief.use((connection) => shut(connection, { login, canary }, signal), signal),
    open: (signal) => brief.use((connection) => open(connection), signal),
    raise: (raising, signal) => patient.use((connection) => raiseSequences(connection, raising), signal),
    sizes: (signal) => brief.use((connection) => tableSizes(connection, wanted), signal),
    digests: (tables, signal) => patient.use((connection) => tableDigests(connection, tables), signal),
    async [Symbol.asyncDispose]() {
      await brief[Symbol.asyncDispose]();
      await patient[Symbol.asyncDispose]();
    },
  };
}

/** The insert position: with synchronous_commit off a client is told before its commit is flushed. The transaction numbers are those of
 *  writers alone, aborted ones and subtransactions included: never fewer than were committed. */
async function sight(connection: Connection): Promise<Sighting> {
  const [row] = await connection.rows(`
    SELECT (SELECT system_identifier FROM pg_control_system()), pg_current_wal_insert_lsn(), pg_snapshot_xmax(pg_current_snapshot()),
      ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int`);
  const [system, at, next, on] = row ?? [];
  assert(Boolean(system && at && next && on), 'A server without a position');
  const sequences = await readSequences(connection);
  return {
    position: positionOf(system ?? '', parseLsn(at ?? ''), timeline(Number(on))),
    transactions: BigInt(next ?? 0),
    sequences,
  };
}

const definitionsSql = `
  SELECT format('trigger %I of %s, %s', t.tgname, t.tgrelid::regclass,
      CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'for replicas only' WHEN 'A' THEN 'always' ELSE 'enabled' END)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE NOT t.tgisinternal AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'changeover')
  UNION ALL SELECT format('constraint %I of %s', k.conname, k.conrelid::regclass)
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
   WHERE k.conrelid <> 0 AND k.convalidated AND k.contype IN ('c', 'f', 'p', 'u', 'x') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'changeover')
  UNION ALL SELECT format('index %s', i.indexrelid::regclass)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE i.indisvalid AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'changeover')
  ORDER BY 1`;

async function survey(connection: Connection): Promise<Survey> {
  return {
    writers: [...(await writersOf(connection)), ...(await shutRoles(connection))].toSorted(),
    beyondUs: await beyondUs(connection),
    unfenced: await unfencedSessions(connection),
    prepared: await preparedCount(connection),
    definitions: (await connection.rows(definitionsSql)).map(([line]) => line ?? ''),
    sequences: await sequenceNames(connection),
  };
}
