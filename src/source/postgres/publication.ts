import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteIdentifier, quoteTable } from '../../engine/postgres/identifier.ts';
import { ChangeoverError } from '../../error.ts';

interface Wanted {
  readonly schema: string;
  readonly name: string;
}

/** Creates the publication where it is missing: of all tables where we may (a superuser), else of the wanted tables that we own.
 *  One that an administrator made is taken as it is; `check` judges it. Before that, gives every wanted table without a usable
 *  identity REPLICA IDENTITY FULL: in a publication, PostgreSQL would refuse the application's own updates and deletes of it.
 *  Throws SOURCE_PRIVILEGE with what to run instead. */
export async function ensurePublication(
  connection: Connection,
  publication: string,
  wanted: readonly Wanted[],
): Promise<void> {
  const [existing] = await connection.rows('SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = $1', [publication]);
  if (existing) return;
  await identifyKeyless(connection, wanted);
  const name = quoteIdentifier(publication);
  const [role] = await connection.rows('SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user');
  const scope = role?.[0] === 't' ? 'ALL TABLES' : `TABLE ${wanted.map((table) => quoteTable(table)).join(', ')}`;
  const sql = `CREATE PUBLICATION ${name} FOR ${scope}`;
  try {
    await connection.rows(sql);
  } catch (cause) {
    throw new ChangeoverError(
      'SOURCE_PRIVILEGE',
      `The publication ${publication} is missing and we may not create it`,
      {
        hint: `As an administrator, run at the primary: ${sql};`,
        cause,
      },
    );
  }
}

async function identifyKeyless(connection: Connection, wanted: readonly Wanted[]): Promise<void> {
  const keyless = await connection.rows(
    `SELECT n.nspname, c.relname
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.relreplident IN ('d', 'n')
        AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        AND (c.relreplident = 'n' OR NOT EXISTS (
          SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate))
      ORDER BY 1, 2`,
  );
  const wantedNames = new Set(wanted.map((table) => quoteTable(table)));
  for (const [schema, name] of keyless) {
    const table = quoteTable({ schema: schema ?? '', name: name ?? '' });
    if (!wantedNames.has(table)) continue;
    const sql = `ALTER TABLE ${table} REPLICA IDENTITY FULL`;
    try {
      // A short lock, or none: the application must not queue behind us.
      await connection.rows('SET lock_timeout = 3000');
      await connection.rows(sql);
    } catch (cause) {
      throw new ChangeoverError('SOURCE_TABLE_UNSUITABLE', `The table ${table} has no key that identifies its rows`, {
        hint: `Run at the primary, at a quiet moment: ${sql};`,
        cause,
      });
    } finally {
      await connection.rows('SET lock_timeout = 0');
    }
  }
}
