import type { Schema, SchemaStatement } from '../../change/change.ts';
import { sqlState } from '../../engine/postgres/failure.ts';
import { quoteLiteral } from '../../engine/postgres/identifier.ts';
import { ChangeoverError } from '../../error.ts';
import type { Session } from './session.ts';

/** What the server says of an object that is there already: duplicate table, object, schema, function.
 *  https://www.postgresql.org/docs/current/errcodes-appendix.html */
const existing = new Set(['42P07', '42710', '42P06', '42723']);
/** What it says of a second primary key, and of any definition that makes no sense. */
const invalidDefinition = '42P16';

const name = '(?:"(?:[^"]|"")+"|[^\\s".]+)';
/** A primary key as the source writes it. */
const primaryKey = new RegExp(`^ALTER TABLE (?:ONLY )?(${name}\\.${name}) ADD CONSTRAINT ${name} PRIMARY KEY `);

/** Creates what is missing and leaves what is there. Throws TARGET_SCHEMA_FAILED with the object's name for anything else. */
export async function createSchema(session: Session, { statements }: Schema): Promise<void> {
  for (const statement of statements) await createOne(session, statement);
}

async function createOne(session: Session, { object, sql }: SchemaStatement): Promise<void> {
  await session.run('SAVEPOINT object');
  try {
    // `rows`, because a statement may be a SELECT, such as one that sets a sequence.
    await session.rows(sql, `Creating ${object}`);
    await session.run('RELEASE SAVEPOINT object');
  } catch (cause) {
    const state = sqlState(cause);
    if (state === undefined) throw cause;
    await session.run('ROLLBACK TO SAVEPOINT object');
    if (existing.has(state)) return;
    if (state === invalidDefinition && (await hasPrimaryKey(session, primaryKey.exec(sql)?.[1]))) return;
    const message = cause instanceof Error ? cause.message : '';
    throw new ChangeoverError('TARGET_SCHEMA_FAILED', message, {
      hint: `Create ${object} at the secondary by hand, or leave it out; we continue where we stood.`,
      cause,
    });
  }
}

async function hasPrimaryKey(session: Session, table: string | undefined): Promise<boolean> {
  if (table === undefined) return false;
  const keys = `SELECT 1 FROM pg_catalog.pg_constraint WHERE contype = 'p' AND conrelid = pg_catalog.to_regclass(${quoteLiteral(table)})`;
  return (await session.rows(keys, 'Looking for a primary key')).length > 0;
}
