import type { Schema, SchemaStatement } from '../../change/change.ts';
import { sqlState } from '../../engine/postgres/failure.ts';
import { ChangeoverError } from '../../error.ts';
import type { Session } from './session.ts';

/** What the server says of an object that is there already: duplicate table, object, schema, function, a second primary key.
 *  https://www.postgresql.org/docs/current/errcodes-appendix.html */
const existing = new Set(['42P07', '42710', '42P06', '42723', '42P16']);

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
    const message = cause instanceof Error ? cause.message : '';
    throw new ChangeoverError('TARGET_SCHEMA_FAILED', message, {
      hint: `Create ${object} at the secondary by hand, or leave it out; we continue where we stood.`,
      cause,
    });
  }
}
