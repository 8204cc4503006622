import type { Connection } from '../../../engine/postgres/connect.ts';
import { quoteIdentifier, quoteLiteral } from '../../../engine/postgres/identifier.ts';
import { isCode } from '../../../error.ts';
import { functionsSql, triggersSql } from './trigger.ts';

interface LaneNames {
  readonly slot: string;
  readonly publication: string;
}

/** Whoever can read it can write schema changes into the stream: nobody but the owner may. */
const placesSql = [
  'CREATE SCHEMA IF NOT EXISTS changeover',
  'CREATE TABLE IF NOT EXISTS changeover.lane (slot name PRIMARY KEY, publication name NOT NULL)',
  'CREATE TABLE IF NOT EXISTS changeover.seal (token text PRIMARY KEY)',
  'REVOKE ALL ON changeover.seal, changeover.lane FROM PUBLIC',
] as const;

/** What makes the event triggers, for a person to paste or for us to run as one transaction. Each text is a statement. */
export const installSql = ({ slot, publication }: LaneNames): readonly string[] => [
  ...placesSql,
  // Made there, so that no log of statements has it.
  `INSERT INTO changeover.seal SELECT pg_catalog.gen_random_uuid() WHERE NOT EXISTS (SELECT FROM changeover.seal)`,
  `INSERT INTO changeover.lane VALUES (${quoteLiteral(slot)}, ${quoteLiteral(publication)}) ON CONFLICT DO NOTHING`,
  ...functionsSql,
  'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA changeover FROM PUBLIC',
  ...Object.entries(triggersSql).flatMap(([name, event]) => [
    `DROP EVENT TRIGGER IF EXISTS ${name}`,
    `CREATE EVENT TRIGGER ${name} ON ${event} EXECUTE FUNCTION changeover.on_ddl()`,
  ]),
];

/** Makes the event triggers that write schema changes into the stream, or those of this version in the place of an earlier one's. False
 *  where our role may not: `check` says so, and the first row of another shape stops its lane. Before the slot is made, so that no
 *  change falls in between. */
export async function installTriggers(connection: Connection, lane: LaneNames): Promise<boolean> {
  if (await isInstalled(connection, lane)) return true;
  if (!(await mayInstall(connection))) return false;
  await connection.rows('BEGIN');
  try {
    // Event triggers fire for no one while they are replaced: two agents that start together do it one after the other.
    await connection.rows(`SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('changeover event triggers'))`);
    for (const sql of installSql(lane)) await connection.rows(sql);
    await connection.rows('COMMIT');
    return true;
  } catch (error) {
    await connection.rows('ROLLBACK');
    if (isCode(error, 'SOURCE_PRIVILEGE')) return false;
    throw error;
  }
}

/** Whether it is worth a try: superusers may, and those whom hosts call so. */
export async function mayInstall(connection: Connection): Promise<boolean> {
  const [row] = await connection.rows(
    `SELECT bool_or(r.rolname = current_user AND r.rolsuper OR r.rolname ~ '^(rds_superuser|cloudsqlsuperuser|alloydbsuperuser|azure_pg_admin)$'
       AND pg_catalog.pg_has_role(r.oid, 'MEMBER')) FROM pg_catalog.pg_roles r`,
  );
  return row?.[0] === 't';
}

/** Whether they stand, for this lane, as this version makes them. */
export async function isInstalled(connection: Connection, { slot }: LaneNames): Promise<boolean> {
  const token = await sealOf(connection);
  if (token === undefined) return false;
  const [lane] = await connection.rows('SELECT FROM changeover.lane WHERE slot = $1', [slot]);
  const [standing] = await connection.rows(
    `SELECT count(*) FROM pg_catalog.pg_event_trigger WHERE evtname = ANY ($1) AND evtenabled <> 'D'`,
    [Object.keys(triggersSql)],
  );
  const bodies = await connection.rows(
    `SELECT p.prosrc FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'changeover'`,
  );
  const present = new Set(bodies.map(([body]) => body));
  const asWeMake = functionsSql.every((sql) => present.has(sql.split('$changeover$')[1] ?? ''));
  return lane !== undefined && standing?.[0] === String(Object.keys(triggersSql).length) && asWeMake;
}

/** What the messages of the triggers are sealed with: one of anybody else has no seal. Undefined: there are no triggers, or we may not read it. */
export async function sealOf(connection: Connection): Promise<string | undefined> {
  const [readable] = await connection.rows(
    `SELECT pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'changeover' AND c.relname = 'seal'`,
  );
  if (readable?.[0] !== 't') return undefined;
  const [row] = await connection.rows('SELECT token FROM changeover.seal');
  return row?.[0] ?? undefined;
}

/** Takes the lane's name away, and with the last lane all that we made; what else is in our schema stays. What a person made for us stays
 *  too: it tells nothing without our slot. */
export async function removeTriggers(connection: Connection, { slot }: Pick<LaneNames, 'slot'>): Promise<void> {
  const [ours] = await connection.rows(
    `SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = ANY ($1) AND pg_catalog.pg_has_role(evtowner, 'USAGE') LIMIT 1`,
    [Object.keys(triggersSql)],
  );
  if (!ours) return;
  await connection.rows('DELETE FROM changeover.lane WHERE slot = $1', [slot]);
  const [other] = await connection.rows('SELECT FROM changeover.lane LIMIT 1');
  if (other) return;
  for (const name of Object.keys(triggersSql)) await connection.rows(`DROP EVENT TRIGGER IF EXISTS ${name}`);
  const functions = await connection.rows(
    `SELECT p.oid::pg_catalog.regprocedure FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname = 'changeover'`,
  );
  for (const [name] of functions) await connection.rows(`DROP FUNCTION ${name}`);
  await connection.rows('DROP TABLE changeover.lane, changeover.seal');
  const [left] = await connection.rows(
    `SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'changeover' LIMIT 1`,
  );
  if (!left) await connection.rows(`DROP SCHEMA ${quoteIdentifier('changeover')}`);
}
