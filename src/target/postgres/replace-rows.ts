import type { Rows } from '../../change/change.ts';
import { columnList, quoteIdentifier } from '../../engine/postgres/identifier.ts';
import { equality, type Plan } from './plan.ts';
import type { Session } from './session.ts';

/** Copies rows of a table with a key, each into the place of the row that has its key, if there is one. Within a transaction. */
export async function replaceRows(session: Session, plan: Plan, { table, block }: Rows): Promise<void> {
  const { name, alone, keyColumns, columns } = plan;
  const list = columns.map((column) => quoteIdentifier(column.name)).join(', ');
  const same = keyColumns.map((column) => equality(column, 't.', `s.${quoteIdentifier(column.name)}`)).join(' AND ');
  await session.run(
    `CREATE TEMPORARY TABLE changeover_copied ON COMMIT DROP AS SELECT ${list} FROM ${name} WITH NO DATA`,
  );
  await session.copy(`COPY pg_temp.changeover_copied${columnList(table.columns)} FROM STDIN`, [block]);
  await session.run(`DELETE FROM ${alone} t USING pg_temp.changeover_copied s WHERE ${same}`);
  await session.run(
    `INSERT INTO ${name} (${list}) OVERRIDING SYSTEM VALUE SELECT ${list} FROM pg_temp.changeover_copied`,
  );
  await session.run('DROP TABLE pg_temp.changeover_copied');
  await session.settle(`Copying ${name}`);
}
