import type { Table } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import type { Relation } from './pgoutput.ts';

/** The tables announced on one replication connection, by their OID. */
export class Relations {
  readonly #catalog: Connection;
  readonly #slot: string;
  readonly #tables = new Map<number, Table>();
  readonly #leftOut = new WeakSet<Table>();

  constructor(catalog: Connection, slot: string) {
    this.#catalog = catalog;
    this.#slot = slot;
  }

  /** Takes a table's announcement. The stream says neither the name of a type nor, with REPLICA IDENTITY FULL, which columns are the
   *  primary key; both come from the catalog as it is now. Where the table is gone or other by now, they stay unknown, and rows are
   *  recognised as a whole: slower, never wrong. */
  async announce(relation: Relation): Promise<void> {
    const { oid, schema, name, identity } = relation;
    const rows = await this.#catalog.rows(announcedSql, [oid, this.#slot]);
    const catalog = new Map(rows.map(([column, type, typeOid, key]) => [column, { type, typeOid, key }]));
    const columns = relation.columns.map((column) => {
      const now = catalog.get(column.name);
      const same = now?.typeOid === String(column.typeOid);
      const key = identity === 'full' ? same && now.key === 't' : column.key;
      return { name: column.name, type: same ? (now.type ?? '') : '', key };
    });
    const table = { schema, name, identity, columns };
    this.#tables.set(oid, table);
    if (rows[0]?.[4] === 't') this.#leftOut.add(table);
  }

  readonly of = (oid: number): Table | undefined => this.#tables.get(oid);

  /** Whether the table is one of the user's own: `replicatedTables` leaves the same out. */
  readonly carries = (table: Table): boolean => !this.#leftOut.has(table);
}

/** The columns of a table, and whether it is left out. A primary key identifies a row only if no two rows share it, not even for a
 *  moment within a transaction, and only where it was there already when the row was written: where its entry in the catalog is
 *  older than all that the slot still needs. An age below zero is one of more than two thousand million transactions. */
const announcedSql = `
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid,
       a.attnum = ANY (i.indkey::int2[]) AND i.indimmediate
         AND pg_catalog.age(i.xmin) NOT BETWEEN 0 AND pg_catalog.age(s.catalog_xmin),
       n.nspname = 'changeover' OR EXISTS (SELECT FROM pg_catalog.pg_depend d
          WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = a.attrelid AND d.deptype = 'e')
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
  LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = $2
 WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped`;
