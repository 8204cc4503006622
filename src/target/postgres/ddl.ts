import type { Ddl, Shape } from '../../change/change.ts';
import { tableName } from '../../change/table.ts';
import { sqlState } from '../../engine/postgres/failure.ts';
import { quoteLiteral, quoteTable } from '../../engine/postgres/identifier.ts';
import { traitsSql } from '../../engine/postgres/traits.ts';
import { ChangeoverError } from '../../error.ts';
import type { Session } from './session.ts';

/** What the server says where something is there already, or gone already: somebody may have made the same change by hand.
 *  https://www.postgresql.org/docs/current/errcodes-appendix.html (Class 42) */
const alreadyDone = new Set([
  '42P07',
  '42710',
  '42P06',
  '42723',
  '42P16',
  '42701',
  '42703',
  '42704',
  '42P01',
  '42883',
  '3F000',
]);

/** What a person has done by hand, by the id of the change. */
const doneTable = 'changeover.done';

/** Replays a schema change within the transaction of its rows, and proves that the tables then look as they do at the source. What was
 *  done by hand is taken as done. Throws TARGET_SCHEMA_FAILED with the statement: nothing is guessed. */
export async function replay(session: Session, change: Ddl): Promise<void> {
  if (await isSaidDone(session, change)) return mustBeAlike(session, change);
  if (change.refusal !== undefined) throw failed(change, `It cannot be replayed: ${change.refusal}`);
  await session.run('SAVEPOINT ddl');
  try {
    for (const [name, value] of Object.entries(change.settings))
      await session.rows(
        `SELECT pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, true)`,
        'Replaying a schema change',
      );
    // `rows`, because a statement may give some.
    for (const step of change.steps) await session.rows(step, 'Replaying a schema change');
    // Back to what the session began with: the rows that follow are read by it.
    for (const name of Object.keys(change.settings)) await session.run(`SET LOCAL ${name} TO DEFAULT`);
    await session.settle('Replaying a schema change');
  } catch (cause) {
    const state = sqlState(cause);
    if (state === undefined) throw cause;
    await session.run('ROLLBACK TO SAVEPOINT ddl');
    if (alreadyDone.has(state) && (await isThere(session, change))) return;
    throw failed(change, cause instanceof Error ? cause.message : '', cause);
  }
  await mustBeAlike(session, change);
  await session.run('RELEASE SAVEPOINT ddl');
}

/** Whether a person did it here, and said so in our table. */
async function isSaidDone(session: Session, { id }: Ddl): Promise<boolean> {
  const [table] = await session.rows(
    `SELECT pg_catalog.to_regclass('${doneTable}')`,
    'Looking for what was done by hand',
  );
  if (!table?.[0]) return false;
  const rows = await session.rows(
    `SELECT FROM ${doneTable} WHERE id = ${quoteLiteral(id)}`,
    'Looking for what was done by hand',
  );
  return rows.length > 0;
}

async function mustBeAlike(session: Session, change: Ddl): Promise<void> {
  for (const shape of change.shapes) {
    const missing = await missingTraits(session, shape, /^column /);
    if (missing.length > 0)
      throw failed(
        change,
        `The table ${tableName(shape)} then lacks what it has at the primary: ${missing.join(', ')}`,
      );
  }
}

/** Whether all that the change leaves behind can be seen here. */
async function isThere(session: Session, { shapes, objects }: Ddl): Promise<boolean> {
  for (const shape of shapes) if ((await missingTraits(session, shape)).length > 0) return false;
  for (const address of objects) if (!(await exists(session, address))) return false;
  return shapes.length + objects.length > 0;
}

async function missingTraits(session: Session, shape: Shape, of = /(?:)/): Promise<readonly string[]> {
  const oid = `pg_catalog.to_regclass(${quoteLiteral(quoteTable(shape))})`;
  const rows = await session.rows(`SELECT unnest(${traitsSql(oid)})`, `Looking up ${tableName(shape)}`);
  const present = new Set(rows.map(([trait]) => trait));
  return shape.traits.filter((trait) => of.test(trait) && !present.has(trait));
}

async function exists(session: Session, address: string): Promise<boolean> {
  await session.run('SAVEPOINT looking');
  try {
    await session.rows(`SELECT pg_catalog.pg_get_object_address(${address})`, 'Looking for an object');
    return true;
  } catch (error) {
    if (sqlState(error) === undefined) throw error;
    await session.run('ROLLBACK TO SAVEPOINT looking');
    return false;
  }
}

/** A text of many statements may be of any length. */
const shownMax = 4000;
const shown = (text: string): string => (text.length > shownMax ? `${text.slice(0, shownMax)} ...` : text);

const failed = ({ id, statement, shapes }: Ddl, why: string, cause?: unknown): ChangeoverError => {
  const tables = shapes.map((shape) => `\n-- ${quoteTable(shape)} must then have: ${shape.traits.join(', ')}`).join('');
  return new ChangeoverError('TARGET_SCHEMA_FAILED', `${why}\nThe statement at the primary: ${shown(statement)}`, {
    hint: `Make the same change at the secondary by hand, with the rows as they were at the primary behind it. Then say so there, and start again; we go on behind it:
CREATE TABLE IF NOT EXISTS ${doneTable} (id text PRIMARY KEY);
INSERT INTO ${doneTable} VALUES (${quoteLiteral(id)});${tables}`,
    cause,
  });
};
