import type { RowChange, Truncate } from '../../../src/change/change.ts';
import { cells, type Row } from '../../../src/change/row.ts';
import type { Table } from '../../../src/change/table.ts';
import { type Connection, connect } from '../../../src/engine/postgres/connect.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from '../../../src/engine/postgres/identifier.ts';
import { postgresSource } from '../../../src/source/postgres/open.ts';
import { slotState } from '../../../src/source/postgres/slot.ts';
import type { Source } from '../../../src/source/source.ts';
import type { SourceUnderTest } from '../../conformance/source-under-test.ts';
import { never } from '../../servers/postgres.ts';
import type { Database } from '../../servers/shared.ts';

/** The lane whose source is under test, and its slot. */
export const lane = 'test';
export const slot = 'changeover_test';

export interface Primary extends SourceUnderTest {
  readonly connection: Connection;
  readonly url: string;
  open(options?: {
    wanted?: (table: { name: string }) => boolean;
    heartbeatMs?: number;
    copyConnections?: number;
    chunkBytes?: number;
  }): Source;
  /** Statements of one client, in one transaction. */
  transact(...statements: string[]): Promise<void>;
}

export function primary({ connection, url, ...database }: Database): Primary {
  const clients: Connection[] = [];
  const idle: Connection[] = [];
  const transact = async (...statements: string[]): Promise<void> => {
    let client = idle.pop();
    if (!client) {
      client = await connect({ url, side: 'SOURCE', application: 'a client' }, never);
      clients.push(client);
    }
    for (const statement of ['BEGIN', ...statements, 'COMMIT']) await client.rows(statement);
    idle.push(client);
  };
  const drop = async (): Promise<void> => {
    await connection.rows(
      'SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1 AND active',
      [slot],
    );
    await connection.rows('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1', [
      slot,
    ]);
  };
  return {
    connection,
    url,
    transact,
    async create(table) {
      const names = table.columns.map((column) => quoteIdentifier(column.name));
      const key = names.filter((_, index) => table.columns[index]?.key);
      const parts = [
        ...names.map((name) => `${name} text`),
        ...(key.length > 0 ? [`PRIMARY KEY (${key.join(', ')})`] : []),
      ];
      await connection.rows(`CREATE TABLE ${quoteTable(table)} (${parts.join(', ')})`);
    },
    open: ({ wanted = () => true, heartbeatMs = 500, ...others } = {}) =>
      postgresSource({ url, name: lane, wanted, heartbeatMs, ...others }),
    commit: (changes) => transact(...changes.map((change) => statementOf(change))),
    kept: async () => (await slotState(connection, slot))?.confirmed,
    async sessions() {
      const [row] = await connection.rows('SELECT count(*) FROM pg_stat_activity WHERE application_name = $1', [
        `changeover ${lane}`,
      ]);
      return Number(row?.[0]);
    },
    async lose(left) {
      await drop();
      if (left === 'theirs') await connection.rows(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) await client[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

/** What a client runs for a change. */
function statementOf(change: RowChange | Truncate): string {
  if (change.kind === 'truncate') return `TRUNCATE ${change.tables.map((table) => quoteTable(table)).join(', ')}`;
  const { table } = change;
  const name = quoteTable(table);
  if (change.kind === 'insert') return `INSERT INTO ${name} VALUES (${literals(change.after).join(', ')})`;
  if (change.kind === 'delete') return `DELETE FROM ${name} WHERE ${which(table, change.before)}`;
  const columns = table.columns.map((column) => quoteIdentifier(column.name));
  const assignments = literals(change.after).map((literal, index) => `${columns[index]} = ${literal}`);
  return `UPDATE ${name} SET ${assignments.join(', ')} WHERE ${which(table, change.before ?? change.after)}`;
}

const literals = (row: Row): string[] =>
  [...cells(row)].map((cell) => (Buffer.isBuffer(cell) ? quoteLiteral(cell.toString()) : 'NULL'));

/** One row: by its key, or one of those that are equal. */
function which(table: Table, row: Row): string {
  const isKeyed = table.columns.some((column) => column.key);
  const conditions = literals(row).flatMap((literal, index) => {
    const column = table.columns[index];
    return column && (column.key || !isKeyed)
      ? [`${quoteIdentifier(column.name)} IS NOT DISTINCT FROM ${literal}`]
      : [];
  });
  return `ctid = (SELECT ctid FROM ${quoteTable(table)} WHERE ${conditions.join(' AND ')} LIMIT 1)`;
}
