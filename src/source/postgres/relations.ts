import type { Table } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import type { Relation } from './pgoutput.ts';

/** The tables announced on one replication connection, by their OID. */
export class Relations {
  readonly #catalog: Connection;
  readonly #tables = new Map<number, Table>();

  constructor(catalog: Connection) {
    this.#catalog = catalog;
  }

  /** Takes a table's announcement. The stream says neither the name of a type nor, with REPLICA IDENTITY FULL, which columns are the
   *  primary key; both come from the catalog as it is now. Where the table is gone or other by now, they stay unknown, and rows are
   *  recognised as a whole: slower, never wrong. */
  async announce(relation: Relation): Promise<void> {
    const { oid, schema, name, identity } = relation;
    const rows = await this.#catalog.rows(
      `SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid, a.attnum = ANY (i.indkey::int2[])
         FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped`,
      [oid],
    );
    const catalog = new Map(rows.map(([column, type, typeOid, primary]) => [column, { type, typeOid, primary }]));
    const columns = relation.columns.map((column) => {
      const now = catalog.get(column.name);
      const same = now?.typeOid === String(column.typeOid);
      const key = identity === 'full' ? same && now.primary === 't' : column.key;
      return { name: column.name, type: same ? (now.type ?? '') : '', key };
    });
    this.#tables.set(oid, { schema, name, identity, columns });
  }

  readonly of = (oid: number): Table | undefined => this.#tables.get(oid);
}
