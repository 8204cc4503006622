import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteIdentifier, quoteTable } from '../../engine/postgres/identifier.ts';
import { ChangeoverError, isCode } from '../../error.ts';
import { excerptsCommentSql } from './coverage.ts';
import { type Cut, conditionSql, cutOf, type Excerpts, excerptsCure, fingerprintIn } from './excerpt.ts';
import { replicatedTables } from './tables.ts';

interface Wanted {
  readonly schema: string;
  readonly name: string;
}

/** Creates the publication where it is missing: of all tables where we may (a superuser) and all are wanted, so that a table made later
 *  is never missing silently; else of the wanted tables. One that an administrator made is taken as it is; `check` judges it. Before
 *  that, gives every wanted table without a usable identity REPLICA IDENTITY FULL: in a publication, PostgreSQL would refuse the
 *  application's own updates and deletes of it. Throws SOURCE_PRIVILEGE with what to run instead, SOURCE_TABLE_UNSUITABLE. */
export async function ensurePublication(
  connection: Connection,
  publication: string,
  { wanted, excerpts }: { readonly wanted: (table: Wanted) => boolean; readonly excerpts?: Excerpts | undefined },
): Promise<void> {
  const [existing] = await connection.rows('SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = $1', [publication]);
  if (existing) return proveExcerpts(connection, publication, excerpts);
  const tables = await replicatedTables(connection, () => true);
  const chosen = tables.filter(wanted);
  await identifyKeyless(connection, chosen);
  // Before anything is made: what cannot be cut so.
  const cuts = (await replicatedTables(connection, wanted)).map((table) => cutOf(table, excerpts));
  const areFiltered = cuts.some(({ rows }) => rows !== undefined);
  const name = quoteIdentifier(publication);
  const [role] = await connection.rows('SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user');
  const all = role?.[0] === 't' && chosen.length === tables.length && !areFiltered;
  const list = cuts.map((cut) => publishedSql(cut)).join(', ');
  const scope = all ? ' FOR ALL TABLES' : list && ` FOR TABLE ${list}`;
  const sql = `CREATE PUBLICATION ${name}${scope}${excerpts ? `;\n${excerptsCommentSql(publication, excerpts)}` : ''}`;
  try {
    // Sent as one, the statements are one transaction.
    await connection.rows(sql);
  } catch (cause) {
    // A server that goes down just now is another matter, and comes back.
    if (!isCode(cause, 'SOURCE_PRIVILEGE')) throw cause;
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

/** A parent is published without the tables that inherit from it: those have conditions of their own. */
const publishedSql = ({ table, rows }: Cut): string =>
  rows === undefined ? `ONLY ${quoteTable(table)}` : `ONLY ${quoteTable(table)} WHERE ${conditionSql(rows)}`;

/** The publication was made for the excerpts that are configured now; so was the copy, then. Throws SOURCE_UNSUITABLE. */
export async function proveExcerpts(
  connection: Connection,
  publication: string,
  excerpts: Excerpts | undefined,
): Promise<void> {
  const [row] = await connection.rows(
    `SELECT pg_catalog.obj_description(oid, 'pg_publication') FROM pg_catalog.pg_publication WHERE pubname = $1`,
    [publication],
  );
  if (fingerprintIn(row?.[0]) === excerpts?.fingerprint) return;
  throw new ChangeoverError(
    'SOURCE_UNSUITABLE',
    `The publication ${publication} was made for other filters and masks than the configuration has`,
    { hint: excerptsCure(publication, excerpts) },
  );
}

async function identifyKeyless(connection: Connection, wanted: readonly Wanted[]): Promise<void> {
  const keyless = await connection.rows(
    `SELECT n.nspname, c.relname, EXISTS (
              SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped)
            AND current_setting('server_version_num')::int >= 180000
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.relreplident IN ('d', 'n')
        AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        AND (c.relreplident = 'n' OR NOT EXISTS (
          SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate))
      ORDER BY 1, 2`,
  );
  const wantedNames = new Set(wanted.map((table) => quoteTable(table)));
  for (const [schema, name, generated] of keyless) {
    const table = quoteTable({ schema: schema ?? '', name: name ?? '' });
    if (!wantedNames.has(table)) continue;
    // Its generated columns would be part of the identity but not of the publication, and 18 refuses updates then.
    if (generated === 't') {
      throw new ChangeoverError('SOURCE_TABLE_UNSUITABLE', `The table ${table} has generated columns and no key`);
    }
    const sql = `ALTER TABLE ${table} REPLICA IDENTITY FULL`;
    try {
      // A short lock, or none: the application must not queue behind us.
      await connection.rows('SET lock_timeout = 3000');
      await connection.rows(sql);
    } catch (cause) {
      if (isCode(cause, 'SOURCE_UNREACHABLE')) throw cause;
      throw new ChangeoverError('SOURCE_TABLE_UNSUITABLE', `The table ${table} has no key that identifies its rows`, {
        hint: `Run at the primary, at a quiet moment: ${sql};`,
        cause,
      });
    } finally {
      await connection.rows('SET lock_timeout = 0');
    }
  }
}
