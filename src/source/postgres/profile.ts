import type { SourceProfile } from '../../change/profile.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { readDatabase, readExtensions } from '../../engine/postgres/database.ts';
import { objects } from '../../engine/postgres/json.ts';
import { copied, type Wanted } from './coverage.ts';
import { readTables } from './facts.ts';

const rolesSql = `
SELECT DISTINCT pg_get_userbyid(held.role) AS role
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT c.relowner AS role UNION SELECT grantee FROM aclexplode(c.relacl) WHERE grantee <> 0) held
WHERE n.nspname || '.' || c.relname = ANY ($1) ORDER BY 1`;

/** Throws SOURCE_UNREACHABLE, SOURCE_FAILED. */
export async function readProfile(connection: Connection, wanted: Wanted): Promise<SourceProfile> {
  const database = await readDatabase(connection);
  const tables = copied(await readTables(connection), wanted);
  const names = tables.map((table) => `${table.schema}.${table.name}`);
  const roles = await objects<{ role: string }>(connection, rolesSql, [names]);
  return {
    ...database,
    extensions: await readExtensions(connection),
    tables: tables.map(({ schema, name, columns }) => ({
      schema,
      name,
      columns: columns.map((column) => ({
        name: column.name,
        type: column.type,
        generated: column.generated ?? undefined,
      })),
    })),
    roles: roles.map(({ role }) => role),
  };
}
