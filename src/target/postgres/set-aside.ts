import type { Change } from '../../change/change.ts';
import type { Net } from '../../change/net.ts';
import type { Position } from '../../change/position.ts';
import { type Table, tableName } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteLiteral } from '../../engine/postgres/identifier.ts';
import type { SetAside } from '../target.ts';
import type { Session } from './session.ts';

/* Tables that the lane goes on without, until they are copied anew. Which ones stands at the secondary, beside the checkpoint. */

type Named = Pick<Table, 'schema' | 'name'>;

const madeSql = `SELECT pg_catalog.to_regclass('changeover.set_aside')`;
const tableSql = `CREATE TABLE IF NOT EXISTS changeover.set_aside (
  lane text, table_schema text, table_name text, origin text NOT NULL, position_order numeric NOT NULL, position_token text NOT NULL,
  made_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(), PRIMARY KEY (lane, table_schema, table_name))`;
const readSql = (lane: string): string =>
  `SELECT table_schema, table_name, origin, position_order, position_token
     FROM changeover.set_aside WHERE lane = ${quoteLiteral(lane)} ORDER BY 1, 2`;

const fromRow = ([schema, name, origin, order, token]: readonly (string | null)[]): SetAside => ({
  table: { schema: schema ?? '', name: name ?? '' },
  since: { origin: origin ?? '', order: BigInt(order ?? 0), token: token ?? '' },
});

export async function readSetAside(connection: Pick<Connection, 'rows'>, lane: string): Promise<readonly SetAside[]> {
  const [made] = await connection.rows(madeSql);
  return made?.[0] ? (await connection.rows(readSql(lane))).map(fromRow) : [];
}

/** Within a transaction that holds the lane's lock. */
export async function writeSetAside(connection: Connection, lane: string, { table, since }: SetAside): Promise<void> {
  await connection.rows('CREATE SCHEMA IF NOT EXISTS changeover');
  await connection.rows(tableSql);
  await connection.rows(
    `INSERT INTO changeover.set_aside (lane, table_schema, table_name, origin, position_order, position_token)
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (lane, table_schema, table_name) DO UPDATE
     SET (origin, position_order, position_token) = (excluded.origin, excluded.position_order, excluded.position_token)`,
    [lane, table.schema, table.name, since.origin, String(since.order), since.token],
  );
}

/** What one transaction of the lane passes over. */
export class Aside {
  readonly #tables: Map<string, SetAside>;
  /** Brought back by the transaction that is open. */
  #back = new Set<string>();
  #known = new WeakMap<Table, boolean>();

  constructor(tables: readonly SetAside[]) {
    this.#tables = new Map(tables.map((one) => [tableName(one.table), one]));
  }

  /** The changes of tables that are carried. Costs nothing while all are. */
  carried(changes: readonly Change[]): readonly Change[] {
    if (this.#tables.size === 0) return changes;
    return changes.flatMap((change): readonly Change[] => {
      if (change.kind === 'truncate') {
        const tables = change.tables.filter((table) => !this.#isAside(table));
        return tables.length > 0 ? [{ ...change, tables }] : [];
      }
      if (change.kind === 'clear' && !change.after && !change.upTo) this.#comesBack(change.table, change.at);
      return 'table' in change && this.#isAside(change.table) ? [] : [change];
    });
  }

  /** The same of a net effect. */
  carriedNet(net: Net): Net {
    return this.#tables.size === 0 ? net : net.filter(({ table }) => !this.#isAside(table));
  }

  /** What a snapshot copies is carried again. */
  allBack(tables: readonly Table[]): void {
    for (const table of tables) this.#comesBack(table, undefined);
  }

  /** Sends what the open transaction makes of it. */
  async send(session: Session, lane: string): Promise<void> {
    for (const name of this.#back) {
      const { schema, name: own } = this.#tables.get(name)?.table ?? { schema: '', name: '' };
      await session.run(
        `DELETE FROM changeover.set_aside WHERE lane = ${quoteLiteral(lane)}
            AND table_schema = ${quoteLiteral(schema)} AND table_name = ${quoteLiteral(own)}`,
      );
    }
  }

  begin(): void {
    this.#back = new Set();
    this.#known = new WeakMap();
  }

  committed(): void {
    for (const name of this.#back) this.#tables.delete(name);
    this.begin();
  }

  /** Not by a part of a copy; nor by one that was in the log already when it was set aside: perhaps it was that one that the secondary refused. */
  #comesBack(table: Named, at: Position | undefined): void {
    const name = tableName(table);
    const aside = this.#tables.get(name);
    if (!aside || (at && at.origin === aside.since.origin && at.order <= aside.since.order)) return;
    this.#back.add(name);
    this.#known = new WeakMap();
  }

  #isAside(table: Table): boolean {
    const known = this.#known.get(table);
    if (known !== undefined) return known;
    const name = tableName(table);
    const isAside = this.#tables.has(name) && !this.#back.has(name);
    this.#known.set(table, isAside);
    return isAside;
  }
}
