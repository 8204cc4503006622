import { type Table, tableName } from '../../change/table.ts';
import type { View } from '../../change/view.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteTable } from '../../engine/postgres/identifier.ts';
import { type Reading, viewOf } from '../../engine/postgres/view.ts';
import { assert } from '../../error.ts';
import { extentsOf } from './chunks.ts';
import { type Cut, conditionSql, cutOf, type Excerpts } from './excerpt.ts';
import { replicatedTables } from './tables.ts';

export interface SourceViewOptions {
  /** In a transaction that sees what is shown; closed with the view. */
  readonly connection: Connection;
  readonly wanted: (table: { schema: string; name: string }) => boolean;
  readonly excerpts: Excerpts | undefined;
}

/** What the primary shows of the tables that are carried, as their rows travel. */
export async function sourceView({ connection, wanted, excerpts }: SourceViewOptions): Promise<View> {
  const carried = new Map<string, { readonly whole: Table; readonly cut: Cut }>();
  for (const whole of await replicatedTables(connection, wanted))
    carried.set(tableName(whole), { whole, cut: cutOf(whole, excerpts) });
  return viewOf({
    connection,
    async tables() {
      const extents = await extentsOf(connection);
      const counts = await connection.rows(
        `SELECT n.nspname, c.relname, c.reltuples FROM pg_catalog.pg_class c
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'`,
      );
      const rows = new Map(
        counts.map(([schema, name, count]) => [tableName({ schema: schema ?? '', name: name ?? '' }), Number(count)]),
      );
      return Array.from(carried, ([name, { cut }]) => ({
        table: cut.table,
        rows: Math.max(0, rows.get(name) ?? 0),
        bytes: extents.get(name)?.bytes ?? 0,
        masked: cut.isMasked,
      }));
    },
    async reading(table) {
      const found = carried.get(tableName(table));
      assert(found !== undefined, `${tableName(table)} is not carried`);
      return readingOf(found.whole, found.cut);
    },
  });
}

/** Columns that stay here are not asked for; what is masked is asked for as it is, and masked by us. */
export function readingOf(whole: Table, cut: Cut): Reading {
  const name = `ONLY ${quoteTable(whole)}`;
  const from = cut.rows === undefined ? `${name} t` : `(SELECT * FROM ${name} WHERE ${conditionSql(cut.rows)}) t`;
  return cut.isMasked
    ? { from, columns: whole.columns, row: cut.row }
    : { from, columns: cut.table.columns, row: undefined };
}
