import type { Change } from '../../../src/change/change.ts';
import { cells, type Row } from '../../../src/change/row.ts';
import type { Table } from '../../../src/change/table.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from '../../../src/engine/postgres/identifier.ts';
import { openPostgresTarget } from '../../../src/target/postgres/open.ts';
import { content } from '../../conformance/rows.ts';
import type { TargetUnderTest } from '../../conformance/target-under-test.ts';
import type { Database } from '../../servers/shared.ts';

/** The lane whose target is under test. */
export const lane = 'test';

export const secondary = ({ connection, url, ...database }: Database): TargetUnderTest => ({
  async create(table, unique = []) {
    const names = table.columns.map((column) => quoteIdentifier(column.name));
    const key = names.filter((_, index) => table.columns[index]?.key);
    const parts = [
      ...names.map((name) => `${name} text`),
      ...(key.length > 0 ? [`PRIMARY KEY (${key.join(', ')})`] : []),
      ...unique.map((column) => `UNIQUE (${quoteIdentifier(column)})`),
    ];
    await connection.rows(`CREATE TABLE ${quoteTable(table)} (${parts.join(', ')})`);
  },
  open: (signal) => openPostgresTarget({ url, name: lane }, signal),
  async content(table) {
    const columns = table.columns.map((column) => `${quoteIdentifier(column.name)}::text`);
    return content(...(await connection.rows(`SELECT ${columns.join(', ')} FROM ${quoteTable(table)}`)));
  },
  async meddle(changes) {
    for (const change of changes) await connection.rows(statementOf(change));
  },
  async moveCheckpoint({ stream, epoch, offset, position }) {
    const values = [lane, stream, epoch, offset, position?.origin, position?.order, position?.token];
    await connection.rows('DELETE FROM changeover.checkpoint');
    await connection.rows(
      `INSERT INTO changeover.checkpoint (lane, stream, epoch, log_offset, origin, position_order, position_token)
       VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      values.map((value) => (value === undefined ? null : String(value))),
    );
  },
  async drifted() {
    const [row] = await connection.rows('SELECT drifted FROM changeover.checkpoint');
    return Number(row?.[0] ?? 0);
  },
  [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
});

/** A stranger's INSERT or DELETE. */
function statementOf(change: Change): string {
  if (change.kind === 'insert')
    return `INSERT INTO ${quoteTable(change.table)} VALUES (${literals(change.after).join(', ')})`;
  if (change.kind !== 'delete') throw new RangeError(`No stranger does a ${change.kind} here`);
  const { table, before } = change;
  return `DELETE FROM ${quoteTable(table)} WHERE ${conditions(table, before).join(' AND ')}`;
}

const literals = (row: Row): string[] =>
  [...cells(row)].map((cell) => (Buffer.isBuffer(cell) ? quoteLiteral(cell.toString()) : 'NULL'));

const conditions = (table: Table, row: Row): string[] =>
  literals(row).flatMap((literal, index) =>
    literal === 'NULL' ? [] : [`${quoteIdentifier(table.columns[index]?.name ?? '')} = ${literal}`],
  );
