import type { Table } from '../../change/table.ts';
import type { View } from '../../change/view.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteLiteral, quoteTable } from '../../engine/postgres/identifier.ts';
import { viewOf } from '../../engine/postgres/view.ts';

/** What the secondary shows of tables, as far as they are carried. `connection` is in a transaction that sees it; closed with the view. */
export const targetView = (connection: Connection): View =>
  viewOf({
    connection,
    tables: async () => [],
    async reading(table) {
      return { from: `${await alone(connection, table)} t`, columns: table.columns, row: undefined };
    },
  });

/** A partitioned table here may stand for an ordinary one there: then its partitions are all that it has. */
async function alone(connection: Connection, table: Table): Promise<string> {
  const name = quoteTable(table);
  const [found] = await connection.rows(
    `SELECT relkind FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(${quoteLiteral(name)})`,
  );
  return found?.[0] === 'p' ? name : `ONLY ${name}`;
}
