import { setTimeout as sleep } from 'node:timers/promises';
import type { Table } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteTable } from '../../engine/postgres/identifier.ts';
import type { Relation, TypeName } from './pgoutput.ts';

/** The tables announced on one replication connection, by their OID. */
export class Relations {
  readonly #catalog: Connection;
  readonly #slot: string;
  readonly #tables = new Map<number, Table>();
  readonly #leftOut = new WeakSet<Table>();
  readonly #types = new Map<number, string>();

  constructor(catalog: Connection, slot: string) {
    this.#catalog = catalog;
    this.#slot = slot;
  }

  /** Takes a table's announcement. The stream says neither the name of a type nor, with REPLICA IDENTITY FULL, which columns are the
   *  primary key; both come from the catalog as it is now. A type that is gone by now stays without a name; where the table is gone or
   *  other, rows are recognised as a whole: slower, never wrong. */
  async announce(relation: Relation, transaction: bigint): Promise<Table> {
    const { oid, schema, name, identity } = relation;
    let rows = await this.#catalog.rows(announcedSql, [oid, this.#slot]);
    if (rows.length === 0 && (await this.#isSeenNow(transaction)))
      rows = await this.#catalog.rows(announcedSql, [oid, this.#slot]);
    const catalog = new Map(rows.map(([column, typeOid, key]) => [column, { typeOid, key }]));
    const types = await this.#catalog.rows(typesSql, [
      relation.columns.map(({ typeOid }) => typeOid),
      relation.columns.map(({ typmod }) => typmod),
    ]);
    const columns = relation.columns.map((column, at) => {
      const now = catalog.get(column.name);
      const same = now?.typeOid === String(column.typeOid);
      const key = identity === 'full' ? same && now.key === 't' : column.key;
      // A transaction is sent a moment before others see what it made: then the stream alone knows the name.
      return { name: column.name, type: types[at]?.[0] ?? this.#types.get(column.typeOid) ?? '', key };
    });
    const table = { schema, name, identity, columns };
    this.#tables.set(oid, table);
    if (schema === 'changeover' || rows[0]?.[3] === 't') this.#leftOut.add(table);
    return table;
  }

  /** The server sends a transaction a moment before others see what it made: waits until it holds no lock on itself any more. A standby
   *  that it waits for may make this long, and is not waited for. */
  async #isSeenNow(transaction: bigint): Promise<boolean> {
    for (let tries = 0; tries < seenTriesMax; tries += 1) {
      const open = await this.#catalog.rows(openSql, [String(transaction)]);
      if (open.length === 0) return true;
      await sleep(seenMs);
    }
    return false;
  }

  nameType(type: TypeName): void {
    this.#types.set(type.oid, quoteTable(type));
  }

  /** Servers before 18 go on announcing the tables of a renamed schema by its former name. */
  renameSchema({ from, to }: { readonly from: string; readonly to: string }): void {
    for (const [oid, table] of this.#tables) {
      if (table.schema !== from) continue;
      const renamed = { ...table, schema: to };
      this.#tables.set(oid, renamed);
      if (this.#leftOut.has(table)) this.#leftOut.add(renamed);
    }
  }

  readonly of = (oid: number): Table | undefined => this.#tables.get(oid);

  /** Whether the table is one of the user's own: `replicatedTables` leaves the same out. */
  readonly carries = (table: Table): boolean => !this.#leftOut.has(table);
}

const seenTriesMax = 50;
const seenMs = 20;
const openSql = `SELECT FROM pg_catalog.pg_locks WHERE locktype = 'transactionid' AND transactionid::pg_catalog.text = $1`;

/** The columns of a table, and whether it is left out. A primary key identifies a row only if no two rows share it, not even for a
 *  moment within a transaction, and only where it was there already when the row was written: where its entry in the catalog is
 *  older than all that the slot still needs. An age below zero is one of more than two thousand million transactions. */
const announcedSql = `
SELECT a.attname, a.atttypid,
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

/** The names of types, in their order; none for one that is gone. */
const typesSql = `
SELECT CASE WHEN t.oid IS NOT NULL THEN pg_catalog.format_type(u.type, u.typmod) END
  FROM unnest($1::pg_catalog.oid[], $2::pg_catalog.int4[]) WITH ORDINALITY u (type, typmod, place)
  LEFT JOIN pg_catalog.pg_type t ON t.oid = u.type ORDER BY u.place`;
