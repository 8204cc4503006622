import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, type ConnectOptions, connect } from '../../engine/postgres/connect.ts';
import { sqlState } from '../../engine/postgres/failure.ts';
import { quoteIdentifier } from '../../engine/postgres/identifier.ts';
import { ChangeoverError, isCode } from '../../error.ts';
import type { Shut } from '../helm.ts';
import { othersSql, preparedCount, unfencedSessions, writersOf } from './writers.ts';

/* The fence: roles that may write cannot log in, and have no room for a session (decision 17). What they were before stands in
   changeover.fence, written in the same transaction, so that whoever comes after a crash can give it back.

   Not ALLOW_CONNECTIONS false: that locks out the reader of the slot. Not default_transaction_read_only: BEGIN READ WRITE undoes it. */

const placeSql = [
  'CREATE SCHEMA IF NOT EXISTS changeover',
  'CREATE TABLE IF NOT EXISTS changeover.fence (role name PRIMARY KEY, connection_limit int NOT NULL)',
  'REVOKE ALL ON changeover.fence FROM PUBLIC',
];

/** Who is shut out by us at present. */
export async function shutRoles(connection: Connection): Promise<readonly string[]> {
  const [there] = await connection.rows(`SELECT to_regclass('changeover.fence')`);
  if (!there?.[0]) return [];
  const rows = await connection.rows('SELECT role FROM changeover.fence ORDER BY 1');
  return rows.map(([role]) => role ?? '');
}

async function close(connection: Connection): Promise<void> {
  const [there] = await connection.rows(`SELECT to_regclass('changeover.fence')`);
  if (!there?.[0]) for (const sql of placeSql) await connection.rows(sql);
  for (const role of await writersOf(connection)) {
    await connection.rows(
      `INSERT INTO changeover.fence SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname = $1 ON CONFLICT DO NOTHING`,
      [role],
    );
    await connection.rows(`ALTER ROLE ${quoteIdentifier(role)} NOLOGIN CONNECTION LIMIT 0`);
  }
}

async function inTransaction<T>(
  connection: Connection,
  end: 'COMMIT' | 'ROLLBACK',
  work: () => Promise<T>,
): Promise<T> {
  await connection.rows('BEGIN');
  try {
    // Of one that was cut off nobody knows whether its COMMIT is still on its way: whoever comes next waits for it.
    await connection.rows(`SELECT pg_advisory_xact_lock(hashtext('changeover fence'))`);
    const result = await work();
    await connection.rows(end);
    return result;
  } catch (error) {
    await connection.rows('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** Those of the writers whom our role may not shut out: tried, each in a transaction that is rolled back. */
export async function beyondUs(connection: Connection): Promise<readonly string[]> {
  const beyond: string[] = [];
  for (const role of await writersOf(connection)) {
    try {
      await inTransaction(connection, 'ROLLBACK', () =>
        connection.rows(`ALTER ROLE ${quoteIdentifier(role)} NOLOGIN CONNECTION LIMIT 0`),
      );
    } catch (error) {
      if (!isCode(error, 'SOURCE_PRIVILEGE', 'TARGET_PRIVILEGE')) throw error;
      beyond.push(role);
    }
  }
  return beyond;
}

const endMsMax = 5000;
const lookMs = 20;

/** As `Helm.shut`. */
export async function shut(
  connection: Connection,
  { login, canary }: { readonly login: ConnectOptions; readonly canary: string | undefined },
  signal: AbortSignal,
): Promise<Shut> {
  const unfenced = await unfencedSessions(connection);
  await inTransaction(connection, 'COMMIT', () => close(connection));
  const roles = await shutRoles(connection);
  await endSessions(connection, roles, signal);
  // A session may have prepared one as its last deed: it would be committed behind the end, by whoever comes.
  const prepared = await preparedCount(connection);
  if (prepared > 0)
    throw new ChangeoverError('CONTROL_FENCE_OPEN', `${prepared} prepared transactions are open`, {
      hint: 'Commit or roll them back (pg_prepared_xacts names them), then ask again.',
    });
  return { roles, proved: await refusedRoles(roles, { login, canary }, signal), unfenced };
}

/** Ends every session that is not ours, and resolves once none of the shut roles has one. */
async function endSessions(connection: Connection, roles: readonly string[], signal: AbortSignal): Promise<void> {
  const untilMs = performance.now() + endMsMax;
  await connection.rows(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN pg_roles r ON r.rolname = usename
      WHERE ${othersSql} AND (NOT r.rolsuper OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))`,
  );
  for (;;) {
    const [row] = await connection.rows(
      `SELECT count(*), count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE ${othersSql} AND usename = ANY ($1::name[])`,
      [roles],
    );
    if (row?.[0] === '0') return;
    if (performance.now() > untilMs)
      throw new ChangeoverError('CONTROL_FENCE_OPEN', `${row?.[0]} sessions of writers do not end`);
    await sleep(lookMs, undefined, { signal });
  }
}

const triedMax = 3;

/** The canary: a login in the name of roles that were shut out. Whoever gets in shows that the fence does not hold. Where the server asks
 *  for a password first, only an address with the right one proves anything. */
async function refusedRoles(
  roles: readonly string[],
  { login, canary }: { readonly login: ConnectOptions; readonly canary: string | undefined },
  signal: AbortSignal,
): Promise<readonly string[]> {
  const named = canary === undefined ? [] : [{ role: decodeURIComponent(new URL(canary).username), url: canary }];
  const tried = [...named, ...roles.slice(0, triedMax).map((role) => ({ role, url: inNameOf(login.url, role) }))];
  const proved = new Set<string>();
  for (const { role, url } of tried) {
    try {
      await using _in = await connect({ ...login, url, application: 'changeover canary' }, signal);
    } catch (error) {
      signal.throwIfAborted();
      // 28000: may not log in; 53300: no room for a session. 28P01, a wrong password, proves nothing.
      if (['28000', '53300'].includes(sqlState(error) ?? '')) proved.add(role);
      continue;
    }
    throw new ChangeoverError('CONTROL_FENCE_OPEN', `${role} still gets in`);
  }
  return [...proved];
}

function inNameOf(address: string, role: string): string {
  const url = new URL(address);
  url.username = encodeURIComponent(role);
  return url.href;
}

/** As `Helm.open`. A role that was dropped meanwhile stays so. */
export async function open(connection: Connection): Promise<readonly string[]> {
  const [there] = await connection.rows(`SELECT to_regclass('changeover.fence')`);
  if (!there?.[0]) return [];
  return inTransaction(connection, 'COMMIT', async () => {
    const kept = await connection.rows(
      'SELECT role, connection_limit FROM changeover.fence JOIN pg_roles ON rolname = role ORDER BY 1',
    );
    for (const [role, limit] of kept)
      await connection.rows(`ALTER ROLE ${quoteIdentifier(role ?? '')} LOGIN CONNECTION LIMIT ${Number(limit)}`);
    await connection.rows('DELETE FROM changeover.fence');
    return kept.map(([role]) => role ?? '');
  });
}
