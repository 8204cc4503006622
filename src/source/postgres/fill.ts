import type { Change, Update } from '../../change/change.ts';
import { cells, hasUnchanged, rowOf } from '../../change/row.ts';
import type { Table } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteIdentifier, quoteTable } from '../../engine/postgres/identifier.ts';

/** Gives updates the values that the stream did not send, as a later snapshot shows them: in a table that is copied in part, the row
 *  may not be at the target yet. A row that is not there under its key any more was deleted or moved further on: the stream will tell,
 *  and until then it is left out. `reading` sees the snapshot; the key's types are PostgreSQL's own. */
export async function filled(
  reading: Connection,
  changes: readonly Change[],
  isPartly: (table: Table) => boolean,
): Promise<readonly Change[]> {
  const whole: Change[] = [];
  for (const change of changes) {
    if (change.kind !== 'update' || !hasUnchanged(change.after) || !isPartly(change.table)) whole.push(change);
    else {
      const row = await rowNow(reading, change);
      if (row) whole.push({ ...change, after: row });
    }
  }
  return whole;
}

async function rowNow(reading: Connection, { table, after }: Update): Promise<Buffer | undefined> {
  const sent = [...cells(after)];
  const columns = table.columns.map(({ name }) => quoteIdentifier(name)).join(', ');
  const keys = table.columns.flatMap(({ key, name }, place) => (key ? [{ name, cell: sent[place] }] : []));
  const [row] = await reading.rows(
    `SELECT ${columns} FROM ONLY ${quoteTable(table)}
      WHERE ${keys.map(({ name }, index) => `${quoteIdentifier(name)} = $${index + 1}`).join(' AND ')}`,
    keys.map(({ cell }) => (Buffer.isBuffer(cell) ? cell.toString() : null)),
  );
  return row && rowOf(row.map((text) => (text === null ? null : Buffer.from(text))));
}
