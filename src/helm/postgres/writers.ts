import type { Connection } from '../../engine/postgres/connect.ts';

const own = `n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'changeover')`;

/** Whoever holds a privilege by which the database can be changed, as roles and 0 for everybody: on a table, a column or a sequence,
 *  by making something new, or by a function that acts in its owner's name. */
const granteesSql = `
  SELECT a.grantee FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
   WHERE ${own} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
     AND (a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE') OR c.relkind = 'S' AND a.privilege_type = 'USAGE')
  UNION SELECT a.grantee FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL aclexplode(t.attacl) a WHERE ${own} AND a.privilege_type IN ('INSERT', 'UPDATE')
  UNION SELECT c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${own}
  UNION SELECT a.grantee FROM pg_namespace n CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
   WHERE ${own} AND a.privilege_type = 'CREATE'
  UNION SELECT a.grantee FROM pg_database d CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
   WHERE d.datname = current_database() AND a.privilege_type = 'CREATE'
  UNION SELECT a.grantee FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE ${own} AND p.prosecdef
  UNION SELECT datdba FROM pg_database WHERE datname = current_database()
  UNION SELECT oid FROM pg_roles WHERE rolsuper OR rolname = 'pg_write_all_data'`;

/** The roles that may log in to this database and write, by themselves or by a role that they can become. Neither superusers, whom no
 *  attribute of a role shuts out without a way back, nor our own role. */
export async function writersOf(connection: Connection): Promise<readonly string[]> {
  const rows = await connection.rows(`
    WITH grantees (oid) AS (${granteesSql})
    SELECT r.rolname FROM pg_roles r
     WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> current_user
       AND has_database_privilege(r.oid, current_database(), 'CONNECT')
       AND EXISTS (SELECT FROM grantees g WHERE g.oid = 0 OR pg_has_role(r.oid, g.oid, 'MEMBER'))
     ORDER BY 1`);
  return rows.map(([role]) => role ?? '');
}

/** SQL of the sessions here that are not ours. */
export const othersSql = `datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND NOT (usename = current_user AND application_name LIKE 'changeover%')`;

/** Sessions of those whom the fence does not reach, as `role (application)`. */
export async function unfencedSessions(connection: Connection): Promise<readonly string[]> {
  const rows = await connection.rows(`
    SELECT DISTINCT format('%s (%s)', usename, coalesce(nullif(application_name, ''), 'no name'))
      FROM pg_stat_activity JOIN pg_roles ON rolname = usename
     WHERE ${othersSql} AND (rolsuper OR usename = current_user) ORDER BY 1`);
  return rows.map(([session]) => session ?? '');
}

export async function preparedCount(connection: Connection): Promise<number> {
  const [row] = await connection.rows('SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()');
  return Number(row?.[0]);
}
