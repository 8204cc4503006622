import type { Key } from '../../change/key.ts';
import { type Row, rowOf } from '../../change/row.ts';
import { type Table, tableName } from '../../change/table.ts';
import type { Carried, Digest, Hashed, Question, View } from '../../change/view.ts';
import { assert } from '../../error.ts';
import type { Connection } from './connect.ts';
import { digestsSql, hashedHere, hashesSql, hashingSql, keyNames } from './hashing.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from './identifier.ts';

/** How one side reads a table. */
export interface Reading {
  /** What stands behind FROM; the table is called `t` there. */
  readonly from: string;
  /** The columns to select. */
  readonly columns: Table['columns'];
  /** Makes of what was selected what travels. */
  readonly row: ((row: Row) => Row) | undefined;
}

export interface ViewOptions {
  /** Its transaction sees what is shown. Closed with the view. */
  readonly connection: Connection;
  readonly tables: () => Promise<readonly Carried[]>;
  readonly reading: (table: Table) => Promise<Reading>;
}

const fetchRows = 2000;

/** What a transaction shows. One question at a time. */
export function viewOf({ connection, tables, reading }: ViewOptions): View {
  /** What a server refuses to say of one table must not silence it for the others. */
  async function alone<T>(work: () => Promise<T>): Promise<T> {
    await connection.rows('SAVEPOINT question');
    try {
      const found = await work();
      await connection.rows('RELEASE SAVEPOINT question');
      return found;
    } catch (error) {
      await connection.rows('ROLLBACK TO SAVEPOINT question');
      throw error;
    }
  }

  /** Every row of a table, as it travels. */
  async function* travelling(table: Table): AsyncGenerator<Row> {
    const { from, columns, row } = await reading(table);
    const list = columns.map(({ name }) => `t.${quoteIdentifier(name)}`).join(', ');
    await connection.rows(`DECLARE changeover_rows NO SCROLL CURSOR FOR SELECT ${list} FROM ${from}`);
    for (;;) {
      const texts = await connection.rows(`FETCH ${fetchRows} FROM changeover_rows`);
      for (const one of texts) yield asTravels(one, row);
      if (texts.length < fetchRows) break;
    }
    await connection.rows('CLOSE changeover_rows');
  }

  async function digestsHere({ table, buckets }: Question): Promise<ReadonlyMap<number, Digest>> {
    const found = new Map<number, { rows: number; x: bigint; y: bigint }>();
    for await (const row of travelling(table)) {
      const { bucket, x, y } = hashedHere(table, row, buckets);
      const sum = found.get(bucket) ?? { rows: 0, x: 0n, y: 0n };
      found.set(bucket, { rows: sum.rows + 1, x: sum.x + x, y: sum.y + y });
    }
    return new Map(Array.from(found, ([bucket, { rows, x, y }]) => [bucket, { rows, sum: `${x} ${y}` }] as const));
  }

  async function hashesHere({ table, buckets }: Question, of: readonly number[]): Promise<readonly Hashed[]> {
    const wanted = new Set(of);
    const found: Hashed[] = [];
    for await (const row of travelling(table)) {
      const { bucket, key, x, y } = hashedHere(table, row, buckets);
      if (wanted.has(bucket)) found.push({ key, hash: `${x} ${y}` });
    }
    return found;
  }

  return {
    tables,
    async lacks(table) {
      const here = await connection.rows(
        `SELECT attname FROM pg_catalog.pg_attribute
          WHERE attrelid = pg_catalog.to_regclass(${quoteLiteral(quoteTable(table))}) AND NOT attisdropped`,
      );
      if (here.length === 0) return `the table ${tableName(table)}`;
      const names = new Set(here.map(([name]) => name));
      const missing = table.columns.filter(({ name }) => !names.has(name));
      return missing.length === 0
        ? undefined
        : missing.map(({ name }) => `the column ${JSON.stringify(name)}`).join(', ');
    },
    async hashing() {
      const [row] = await connection.rows(hashingSql);
      return row?.[0] ?? '';
    },
    digests: (question) => alone(() => (question.here ? digestsHere(question) : digestsThere(question))),
    hashes: (question, of) => alone(() => (question.here ? hashesHere(question, of) : hashesThere(question, of))),
    rows: ({ table }, keys) => alone(async () => rowsByKey({ connection, table, ...(await reading(table)) }, keys)),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };

  async function digestsThere(question: Question): Promise<ReadonlyMap<number, Digest>> {
    const { table, buckets } = question;
    const { from, row } = await reading(table);
    assert(row === undefined, 'A server cannot digest what is changed on the way');
    const found = await connection.rows(digestsSql(table, from, buckets));
    return new Map(found.map(([bucket, rows, x, y]) => [Number(bucket), { rows: Number(rows), sum: `${x} ${y}` }]));
  }

  async function hashesThere({ table, buckets }: Question, of: readonly number[]): Promise<readonly Hashed[]> {
    const { from } = await reading(table);
    const found = await connection.rows(hashesSql(table, from, buckets), [of]);
    return found.map(([x, y, ...key]) => ({ key: key.map(String), hash: `${x} ${y}` }));
  }
}

export interface ByKey extends Reading {
  readonly connection: Connection;
  readonly table: Table;
}

/** By the equality of the key's types, through its index; by their texts where a type is not PostgreSQL's own, whose operators the
 *  empty search_path does not find. */
export async function rowsByKey(
  { connection, table, from, columns, row }: ByKey,
  keys: readonly Key[],
): Promise<readonly Row[]> {
  if (keys.length === 0) return [];
  const list = columns.map(({ name }) => `t.${quoteIdentifier(name)}`).join(', ');
  const names = keyNames(table).map((name) => `t.${quoteIdentifier(name)}`);
  const types = table.columns.filter(({ key }) => key).map(({ type }) => type);
  const cells = names.map((_, place) => keys.map((key) => key[place]));
  const isOurs = types.some((type) => type === '' || type.includes('.'));
  const arrays = types.map((type, place) =>
    isOurs ? `$${place + 1}::pg_catalog.text[]` : `$${place + 1}::pg_catalog.text[]::${type}[]`,
  );
  const asked = isOurs ? names.map((name) => `ROW(${name})::pg_catalog.text`) : names;
  const given = isOurs
    ? names.map((_, place) => `ROW(k.c${place})::pg_catalog.text`)
    : names.map((_, place) => `k.c${place}`);
  const aliases = names.map((_, place) => `c${place}`).join(', ');
  const found = await connection.rows(
    `SELECT ${list} FROM (SELECT * FROM ROWS FROM (${arrays.map((one) => `unnest(${one})`).join(', ')}) AS k (${aliases})) k,
       LATERAL (SELECT * FROM ${from}) t WHERE ${asked.map((one, place) => `${one} = ${given[place]}`).join(' AND ')}`,
    cells,
  );
  return found.map((texts) => asTravels(texts, row));
}

const asTravels = (texts: readonly (string | null)[], row: Reading['row']): Row => {
  const whole = rowOf(texts.map((text) => (text === null ? null : Buffer.from(text))));
  return row ? row(whole) : whole;
};
