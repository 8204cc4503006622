import { type Connection, connect } from '../engine/postgres/connect.ts';
import { quoteTable } from '../engine/postgres/identifier.ts';

export interface Proof {
  readonly equal: boolean;
  /** Compared on both sides; partitions count by themselves. */
  readonly tables: number;
  /** At the primary. */
  readonly rows: number;
  /** Names of tables that differ, or are on one side only. */
  readonly differing: readonly string[];
}

/** A table's rows as their number and two independent sums of 64-bit hashes of each row's text: the same for the same rows in any
 *  order, and a row that is there twice counts twice. */
type Digest = string;

/** Ours and PostgreSQL's own tables hold no rows of the primary. */
const listed = `
select n.nspname, c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname !~ '^(pg_|information_schema$|changeover)'
 order by 1, 2`;

/** Compares every row of every table. Only meaningful while nothing is written and the secondary has caught up.
 *  Throws SOURCE_ or TARGET_UNREACHABLE and the like. */
export async function compareSides(
  { primary, secondary }: { readonly primary: string; readonly secondary: string },
  signal: AbortSignal,
): Promise<Proof> {
  await using ofPrimary = await connect({ url: primary, side: 'SOURCE', application: 'demo proof' }, signal);
  await using ofSecondary = await connect({ url: secondary, side: 'TARGET', application: 'demo proof' }, signal);
  const [left, right] = await Promise.all([digestsOf(ofPrimary), digestsOf(ofSecondary)]);
  return verdict(left, right);
}

/** Says which tables differ; each side as table -> digest. */
export function verdict(primary: ReadonlyMap<string, Digest>, secondary: ReadonlyMap<string, Digest>): Proof {
  const tables = [...new Set([...primary.keys(), ...secondary.keys()])].toSorted();
  const differing = tables.filter((table) => primary.get(table) !== secondary.get(table));
  const rows = [...primary.values()].reduce((total, digest) => total + Number(digest.split(' ')[0]), 0);
  return { equal: differing.length === 0 && tables.length > 0, tables: tables.length, rows, differing };
}

async function digestsOf(connection: Connection): Promise<ReadonlyMap<string, Digest>> {
  const digests = new Map<string, Digest>();
  await connection.rows('begin isolation level repeatable read, read only');
  for (const [schema, name] of await connection.rows(listed)) {
    if (!schema || !name) continue;
    // The alias stands for the whole row unless a column has its name.
    const [row] = await connection.rows(`
      select concat_ws(' ', count(*), sum(hashtextextended(row_as_text, 0)), sum(hashtextextended(row_as_text, 1)))
        from (select whole_row::text as row_as_text from ${quoteTable({ schema, name })} as whole_row) as texts`);
    digests.set(`${schema}.${name}`, row?.[0] ?? '');
  }
  await connection.rows('commit');
  return digests;
}
