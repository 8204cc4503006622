import assert from 'node:assert/strict';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import type { Connection } from '../../src/engine/postgres/connect.ts';
import { quoteLiteral, quoteTable } from '../../src/engine/postgres/identifier.ts';
import { readSchema } from '../../src/source/postgres/schema/read.ts';
import { open, run } from '../servers/postgres.ts';

/** A database at each of two servers. */
export interface Sides {
  readonly primary: string;
  readonly secondary: string;
}

let databases = 0;

/** Fresh, empty databases, so that stories can share servers. `name` also serves as the name of their lane. */
export async function openSides(from: PostgresServer, to: PostgresServer): Promise<Sides & { readonly name: string }> {
  databases += 1;
  const name = `story_${databases}`;
  await run(from.url(), `CREATE DATABASE ${name} TEMPLATE template0`);
  await run(to.url(), `CREATE DATABASE ${name} TEMPLATE template0`);
  return { primary: from.url(name), secondary: to.url(name), name };
}

/** Every row of every table, as text. Columns by name: their places may differ where a parent got a column after its children. */
export async function assertEqual({ primary, secondary }: Sides): Promise<void> {
  const [left, right] = await Promise.all([digests(primary), digests(secondary)]);
  assert.deepEqual(right, left);
  assert.ok(Object.keys(left).length > 0);
}

/** Per table the number of its rows, and what stands for all their texts in any order. */
export async function digests(url: string): Promise<Readonly<Record<string, string>>> {
  await using connection = await open(url);
  return await digestsIn(connection);
}

/** As `digests`, for who looks again and again. */
export async function digestsIn(connection: Connection): Promise<Readonly<Record<string, string>>> {
  const tables = await connection.rows(`
    SELECT n.nspname, c.relname, coalesce(string_agg(quote_ident(a.attname) || '::text', ', ' ORDER BY a.attname), '''''')
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^(pg_|information_schema$|changeover$)'
     GROUP BY 1, 2 ORDER BY 1, 2`);
  const asked = tables.map(([schema, name, columns]) => {
    const table = quoteTable({ schema: schema ?? '', name: name ?? '' });
    return `SELECT ${quoteLiteral(table)}, count(*), md5(string_agg(line, '' ORDER BY line COLLATE "C"))
        FROM (SELECT md5(ROW(${columns})::text) FROM ONLY ${table}) lines (line)`;
  });
  if (asked.length === 0) return {};
  // In one go: a question for each table would be most of the time where there are many.
  const rows = await connection.rows(asked.join(' UNION ALL '));
  return Object.fromEntries(rows.map(([table, ...found]) => [table, found.join(' ')]));
}

/** What the source reads of a schema, without the present values of sequences. */
export async function schemaOf(url: string, as: 'statements' | 'names'): Promise<readonly string[]> {
  await using connection = await open(url);
  return await schemaIn(connection, as);
}

/** As `schemaOf`, for who looks again and again. */
export async function schemaIn(connection: Connection, as: 'statements' | 'names'): Promise<readonly string[]> {
  const { beforeRows, afterRows } = await readSchema(connection, () => true);
  const items = [...beforeRows, ...afterRows].filter(({ object }) => !object.startsWith('value of sequence'));
  if (as === 'statements') return items.map(({ object, sql }) => `${object}: ${sql}`);
  return items.map(({ object }) => object).toSorted();
}

export const count = async (url: string, table: string): Promise<number> =>
  Number((await run(url, `SELECT count(*) FROM ${table}`))[0]?.[0]);
