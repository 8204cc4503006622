import type { Extension } from '../../change/profile.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { type Database, readDatabase, readExtensions } from '../../engine/postgres/database.ts';
import { sqlState } from '../../engine/postgres/failure.ts';
import { quoteTable } from '../../engine/postgres/identifier.ts';
import { objects } from '../../engine/postgres/json.ts';
import { assert } from '../../error.ts';
import { type CheckpointRow, checkpointRow, findCheckpointTableSql, readCheckpointSql } from './checkpoint.ts';

/** What the checks of a target look at. */
export interface TargetFacts {
  readonly database: Database;
  readonly server: ServerFacts;
  /** By actual trial: some managed servers let a role do it that no catalog names. */
  readonly mayReplicate: boolean;
  readonly extensions: readonly Extension[];
  readonly available: readonly AvailableExtension[];
  readonly schemas: readonly SchemaFacts[];
  /** Of those that were asked for, the ones that exist. */
  readonly tables: readonly TableFacts[];
  readonly missingRoles: readonly string[];
}

export interface ServerFacts {
  readonly role: string;
  readonly name: string;
  readonly superuser: boolean;
  readonly mayCreate: boolean;
  readonly mayTemporary: boolean;
  readonly recovering: boolean;
  readonly clockMs: number;
}

export interface AvailableExtension {
  readonly name: string;
  readonly version: string;
  /** Without being superuser: CREATE on the database is enough. */
  readonly open: boolean;
}

export interface SchemaFacts {
  readonly name: string;
  readonly mayUse: boolean;
  readonly mayCreate: boolean;
}

export interface TableFacts {
  readonly schema: string;
  readonly name: string;
  /** False for a view or a sequence of that name. */
  readonly table: boolean;
  /** Of SELECT, INSERT, UPDATE, DELETE, TRUNCATE those that we lack. */
  readonly lacking: readonly string[];
  readonly rowsHidden: boolean;
  readonly columns: readonly ColumnFacts[];
  /** That fire for replicated rows too: ENABLE ALWAYS or ENABLE REPLICA. */
  readonly triggers: readonly string[];
  /** Undefined: we may not read it. */
  readonly empty: boolean | undefined;
}

export interface ColumnFacts {
  readonly name: string;
  readonly type: string;
  readonly generated: boolean;
  /** An insert that does not name it fails. */
  readonly required: boolean;
}

const serverSql = `
SELECT current_user AS role, current_database() AS name, r.rolsuper AS superuser,
  has_database_privilege(current_database(), 'CREATE') AS "mayCreate",
  has_database_privilege(current_database(), 'TEMPORARY') AS "mayTemporary",
  pg_is_in_recovery() AS recovering,
  extract(epoch FROM clock_timestamp()) * 1000 AS "clockMs"
FROM pg_roles r WHERE r.rolname = current_user`;

const availableSql = `
SELECT e.name, e.default_version AS version, bool_or(v.trusted OR NOT v.superuser) AS open
FROM pg_available_extensions e JOIN pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version
GROUP BY 1, 2`;

const schemasSql = `
SELECT nspname AS name, has_schema_privilege(oid, 'USAGE') AS "mayUse", has_schema_privilege(oid, 'CREATE') AS "mayCreate"
FROM pg_namespace`;

const tablesSql = `
SELECT n.nspname AS schema, c.relname AS name, c.relkind IN ('r', 'p') AS table,
  ARRAY(SELECT p FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) p
    WHERE NOT has_table_privilege(c.oid, p)) AS lacking,
  row_security_active(c.oid) AS "rowsHidden",
  (SELECT coalesce(json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
      'generated', a.attgenerated <> '',
      'required', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '') ORDER BY a.attnum), '[]')
    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
  ARRAY(SELECT t.tgname FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('A', 'R')
    ORDER BY 1) AS triggers
FROM json_to_recordset($1::json) wanted (schema text, name text)
JOIN pg_namespace n ON n.nspname = wanted.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
WHERE c.relkind <> 'i' ORDER BY 1, 2`;

const rolesSql = `
SELECT wanted.role FROM unnest($1::text[]) wanted (role)
WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = wanted.role) ORDER BY 1`;

type Named = { readonly schema: string; readonly name: string };

/** Throws TARGET_UNREACHABLE, TARGET_FAILED. */
export async function readFacts(
  connection: Connection,
  wanted: { readonly tables: readonly Named[]; readonly roles: readonly string[] },
): Promise<TargetFacts> {
  const [server] = await objects<ServerFacts>(connection, serverSql);
  assert(server !== undefined, 'A server without the current role');
  const schemas = await objects<SchemaFacts>(connection, schemasSql);
  const names = JSON.stringify(wanted.tables.map(({ schema, name }) => ({ schema, name })));
  const roles = await objects<{ role: string }>(connection, rolesSql, [wanted.roles]);
  const tables: TableFacts[] = [];
  for (const table of await objects<Omit<TableFacts, 'empty'>>(connection, tablesSql, [names])) {
    const schema = schemas.find((one) => one.name === table.schema);
    const readable = table.table && schema?.mayUse && !table.lacking.includes('SELECT') && !table.rowsHidden;
    tables.push({ ...table, empty: readable ? await isEmpty(connection, table) : undefined });
  }
  return {
    database: await readDatabase(connection),
    server,
    mayReplicate: await mayReplicate(connection),
    extensions: await readExtensions(connection),
    available: await objects<AvailableExtension>(connection, availableSql),
    schemas,
    tables,
    missingRoles: roles.map(({ role }) => role),
  };
}

async function isEmpty(connection: Connection, table: Named): Promise<boolean> {
  const [[any] = []] = await connection.rows(`SELECT EXISTS (SELECT FROM ${quoteTable(table)})`);
  return any === 'f';
}

async function mayReplicate(connection: Connection): Promise<boolean> {
  await connection.rows('BEGIN');
  try {
    await connection.rows('SET LOCAL session_replication_role = replica');
    return true;
  } catch (error) {
    if (sqlState(error) === '42501') return false;
    throw error;
  } finally {
    await connection.rows('ROLLBACK');
  }
}

/** Undefined: the lane never wrote here. */
export async function readCheckpoint(connection: Connection, lane: string): Promise<CheckpointRow | undefined> {
  const [[table] = []] = await connection.rows(findCheckpointTableSql);
  if (!table) return undefined;
  const [row] = await connection.rows(readCheckpointSql(lane));
  return row && checkpointRow(row);
}
