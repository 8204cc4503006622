import type { Collation, Extension, SourceProfile } from '../../change/profile.ts';
import { assert } from '../../error.ts';
import type { Connection } from './connect.ts';
import { objects } from './json.ts';

/** What one database is, told alike on both sides. */
export type Database = Pick<SourceProfile, 'origin' | 'server' | 'database' | 'version' | 'encoding' | 'collation'>;

/** Which columns pg_database has depends on the version: through JSON, those that it lacks come as null. The moment at which
 *  the server started tells a running server from a clone of it, which has the same system identifier. */
const databaseSql = `
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS origin,
  extract(epoch FROM pg_postmaster_start_time())::text AS server, d.oid::text AS database,
  current_setting('server_version_num')::int AS version, pg_encoding_to_char(d.encoding) AS encoding,
  json_build_object('collate', d.datcollate, 'ctype', d.datctype,
    'provider', CASE to_jsonb(d) ->> 'datlocprovider' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
    'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'),
    'version', to_jsonb(d) ->> 'datcollversion') AS collation
FROM pg_database d WHERE d.datname = current_database()`;

type Nullable<T> = { [K in keyof T]: T[K] | null };

export async function readDatabase(connection: Connection): Promise<Database> {
  type Row = Omit<Database, 'collation'> & { collation: Collation & Nullable<Pick<Collation, 'locale' | 'version'>> };
  const [row] = await objects<Row>(connection, databaseSql);
  assert(row !== undefined, 'A server without the current database');
  const { locale, version, ...collation } = row.collation;
  return { ...row, collation: { ...collation, locale: locale ?? undefined, version: version ?? undefined } };
}

/** Those that somebody installed: plpgsql comes with every database. */
export const readExtensions = (connection: Connection): Promise<Extension[]> =>
  objects<Extension>(
    connection,
    `SELECT e.extname AS name, e.extversion AS version, n.nspname AS schema
     FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql' ORDER BY 1`,
  );
