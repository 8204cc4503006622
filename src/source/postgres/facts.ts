import type { Connection } from '../../engine/postgres/connect.ts';
import { objects } from '../../engine/postgres/json.ts';
import { assert } from '../../error.ts';

/** What the checks of a source look at, read with nothing but the right to connect. */
export interface SourceFacts {
  readonly server: ServerFacts;
  readonly tables: readonly TableFacts[];
  readonly sequences: readonly SequenceFacts[];
  readonly publication: PublicationFacts | undefined;
  readonly slot: SlotFacts | undefined;
  readonly prepared: readonly { readonly gid: string; readonly database: string; readonly ageS: number }[];
  readonly writers: readonly { readonly pid: number; readonly ageS: number }[];
}

export interface ServerFacts {
  readonly version: number;
  readonly role: string;
  readonly database: string;
  readonly superuser: boolean;
  readonly replication: boolean;
  readonly bypassRls: boolean;
  /** CREATE on this database, which CREATE PUBLICATION asks for. */
  readonly mayCreate: boolean;
  /** Functions that we call and may not. */
  readonly closedFunctions: readonly string[];
  readonly recovering: boolean;
  readonly walLevel: string;
  readonly slotsMax: number;
  readonly slotsUsed: number;
  readonly sendersMax: number;
  readonly sendersUsed: number;
  /** -1: no limit. */
  readonly keepMb: number;
  readonly walMbMax: number;
  /** The average since the server's statistics began. */
  readonly walBytesPerDay: number;
  readonly encoding: string;
  readonly largeObjects: number;
  readonly clockMs: number;
}

export interface TableFacts {
  readonly schema: string;
  readonly name: string;
  readonly kind: 'table' | 'partitioned' | 'foreign';
  readonly unlogged: boolean;
  /** The partitioned tables that it is a part of, outermost first, as names for messages: `schema.name`. */
  readonly roots: readonly string[];
  readonly identity: 'default' | 'nothing' | 'full' | 'index';
  /** By us or by a role that we are a member of. */
  readonly owned: boolean;
  readonly schemaOpen: boolean;
  readonly readable: boolean;
  /** A row-level policy stands between us and some rows. */
  readonly rowsHidden: boolean;
  /** Rows were updated or deleted since the server's statistics began. */
  readonly rewritten: boolean;
  readonly columns: readonly ColumnFacts[];
  /** Its valid unique indexes. */
  readonly indexes: readonly IndexFacts[];
}

export interface ColumnFacts {
  readonly name: string;
  readonly type: string;
  readonly notNull: boolean;
  /** `GENERATED ALWAYS AS (a + 1) STORED`. */
  readonly generated: string | null;
}

export interface IndexFacts {
  readonly name: string;
  readonly primary: boolean;
  readonly identity: boolean;
  readonly deferrable: boolean;
  readonly partial: boolean;
  /** Empty for a column that is an expression. */
  readonly columns: readonly string[];
}

export interface SequenceFacts {
  readonly schema: string;
  readonly name: string;
  readonly schemaOpen: boolean;
  readonly readable: boolean;
  /** The table of whose identity column it is. */
  readonly identityOf: { readonly schema: string; readonly name: string } | null;
}

export interface PublicationFacts {
  /** It inserts, updates, deletes and truncates. */
  readonly whole: boolean;
  readonly viaRoot: boolean;
  readonly tables: readonly { readonly schema: string; readonly name: string }[];
  readonly comment: string | null;
  /** Tables with a row filter or a column list. */
  readonly narrowed: readonly { readonly schema: string; readonly name: string }[];
}

export interface SlotFacts {
  readonly plugin: string | null;
  readonly database: string | null;
  readonly temporary: boolean;
  readonly activePid: number | null;
  readonly status: string | null;
  /** Why the server gave it up, in its words. From PostgreSQL 17. */
  readonly reason: string | null;
  readonly retainedBytes: number;
}

/** The fields that every supported server answers, and the version first of all. */
const serverSql = `
SELECT current_setting('server_version_num')::int AS version, current_user AS role, current_database() AS database,
  r.rolsuper AS superuser, r.rolreplication OR r.rolsuper AS replication, r.rolbypassrls OR r.rolsuper AS "bypassRls",
  has_database_privilege(current_database(), 'CREATE') AS "mayCreate",
  ARRAY(SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'pg_catalog' AND p.proname IN ('pg_control_system', 'pg_logical_emit_message')
      AND NOT has_function_privilege(p.oid, 'EXECUTE') ORDER BY 1) AS "closedFunctions",
  pg_is_in_recovery() AS recovering, current_setting('wal_level') AS "walLevel",
  current_setting('max_replication_slots')::int AS "slotsMax",
  (SELECT count(*) FROM pg_replication_slots) AS "slotsUsed",
  current_setting('max_wal_senders')::int AS "sendersMax",
  (SELECT count(*) FROM pg_stat_replication) AS "sendersUsed",
  (SELECT setting::int FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS "keepMb",
  (SELECT setting::int FROM pg_settings WHERE name = 'max_wal_size') AS "walMbMax",
  (SELECT round(wal_bytes * 86400 / greatest(extract(epoch FROM now() - stats_reset), 3600))
    FROM pg_stat_wal) AS "walBytesPerDay",
  pg_encoding_to_char(d.encoding) AS encoding,
  (SELECT count(*) FROM pg_largeobject_metadata) AS "largeObjects",
  extract(epoch FROM clock_timestamp()) * 1000 AS "clockMs"
FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()`;

/** Tables of users: not of the system, not temporary, not of an extension (it brings its own), not ours. */
const tablesSql = `
SELECT n.nspname AS schema, c.relname AS name,
  CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned' ELSE 'foreign' END AS kind,
  c.relpersistence = 'u' AS unlogged,
  ARRAY(SELECT rn.nspname || '.' || rc.relname FROM pg_partition_ancestors(c.oid) WITH ORDINALITY a(oid, place)
    JOIN pg_class rc ON rc.oid = a.oid JOIN pg_namespace rn ON rn.oid = rc.relnamespace
    WHERE a.oid <> c.oid ORDER BY place DESC) AS roots,
  CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' ELSE 'index' END AS identity,
  pg_has_role(c.relowner, 'USAGE') AS owned,
  has_schema_privilege(n.oid, 'USAGE') AS "schemaOpen", has_table_privilege(c.oid, 'SELECT') AS readable,
  row_security_active(c.oid) AS "rowsHidden",
  pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid) > 0 AS rewritten,
  (SELECT coalesce(json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
      'notNull', a.attnotnull,
      'generated', CASE WHEN a.attgenerated <> '' THEN 'GENERATED ALWAYS AS (' || pg_get_expr(g.adbin, g.adrelid) || ') '
        || CASE a.attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END END) ORDER BY a.attnum), '[]')
    FROM pg_attribute a LEFT JOIN pg_attrdef g ON g.adrelid = a.attrelid AND g.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
  (SELECT coalesce(json_agg(json_build_object('name', ic.relname, 'primary', i.indisprimary, 'identity', i.indisreplident,
      'deferrable', NOT i.indimmediate, 'partial', i.indpred IS NOT NULL,
      'columns', ARRAY(SELECT coalesce(a.attname::text, '') FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(num, place)
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.num
        WHERE k.place <= i.indnkeyatts ORDER BY k.place)) ORDER BY i.indnkeyatts, ic.relname), '[]')
    FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid) AS indexes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'changeover') AND n.nspname NOT LIKE 'pg\\_toast%'
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY 1, 2`;

/** Sequences of users, as for tables. */
const sequencesSql = `
SELECT n.nspname AS schema, c.relname AS name, has_schema_privilege(n.oid, 'USAGE') AS "schemaOpen",
  has_sequence_privilege(c.oid, 'SELECT') AS readable,
  (SELECT json_build_object('schema', tn.nspname, 'name', t.relname)
    FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
      AND d.refobjsubid > 0 AND d.deptype = 'i') AS "identityOf"
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'changeover')
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
ORDER BY 1, 2`;

/** Row filters and column lists came with PostgreSQL 15: through JSON, older servers answer null. */
const publicationSql = `
SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AS whole, p.pubviaroot AS "viaRoot",
  obj_description(p.oid, 'pg_publication') AS comment,
  (SELECT coalesce(json_agg(json_build_object('schema', t.schemaname, 'name', t.tablename)), '[]')
    FROM pg_publication_tables t WHERE t.pubname = p.pubname) AS tables,
  (SELECT coalesce(json_agg(json_build_object('schema', n.nspname, 'name', c.relname)), '[]')
    FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE r.prpubid = p.oid AND coalesce(to_jsonb(r) ->> 'prqual', to_jsonb(r) ->> 'prattrs') IS NOT NULL) AS narrowed
FROM pg_publication p WHERE p.pubname = $1`;

const slotSql = `
SELECT plugin, database, temporary, active_pid AS "activePid", wal_status AS status,
  to_jsonb(s) ->> 'invalidation_reason' AS reason,
  coalesce(CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn) END, 0)
    AS "retainedBytes"
FROM pg_replication_slots s WHERE slot_name = $1`;

/** A transaction that writes keeps a new slot waiting until it ends. Other roles' are seen only with pg_read_all_stats. */
const writersSql = `
SELECT pid, round(extract(epoch FROM clock_timestamp() - xact_start)) AS "ageS" FROM pg_stat_activity
WHERE backend_xid IS NOT NULL AND xact_start < clock_timestamp() - interval '1 minute' AND pid <> pg_backend_pid()
ORDER BY xact_start LIMIT 10`;

const preparedSql = `
SELECT gid, database, round(extract(epoch FROM clock_timestamp() - prepared)) AS "ageS" FROM pg_prepared_xacts
ORDER BY prepared`;

/** The server's version, in a form that also servers too old for everything else answer. */
export async function readVersion(connection: Connection): Promise<number> {
  const [[version] = []] = await connection.rows(`SELECT current_setting('server_version_num')`);
  return Number(version);
}

export const readTables = (connection: Connection): Promise<TableFacts[]> => objects<TableFacts>(connection, tablesSql);

/** Throws SOURCE_UNREACHABLE, SOURCE_FAILED. */
export async function readFacts(
  connection: Connection,
  names: { readonly slot: string; readonly publication: string },
): Promise<SourceFacts> {
  const [server] = await objects<ServerFacts>(connection, serverSql);
  assert(server !== undefined, 'A server without the current role or database');
  const [publication] = await objects<PublicationFacts>(connection, publicationSql, [names.publication]);
  const [slot] = await objects<SlotFacts>(connection, slotSql, [names.slot]);
  return {
    server,
    tables: await readTables(connection),
    sequences: await objects<SequenceFacts>(connection, sequencesSql),
    publication,
    slot,
    prepared: await objects(connection, preparedSql),
    writers: await objects(connection, writersSql),
  };
}
