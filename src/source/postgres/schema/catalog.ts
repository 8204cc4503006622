import type { Connection } from '../../../engine/postgres/connect.ts';
import { ChangeoverError } from '../../../error.ts';
import { firstOwnOid } from './item.ts';

/** One query: `select` names each result and gives its SQL, `from` is the rest. No result may be null: where absence is
 *  ordinary the SQL says what stands for it. Throws SOURCE_FAILED where one is: pg_get_*def() look at the present, the
 *  catalog's rows at our snapshot, so an object that was dropped in between has no definition. */
export async function readRecords<const C extends string>(
  connection: Connection,
  select: Readonly<Record<C, string>>,
  from: string,
): Promise<readonly Readonly<Record<C, string>>[]> {
  const names = Object.keys(select) as C[];
  const list = names.map((name) => `(${select[name]})::text`).join(', ');
  const rows = await connection.rows(`select ${list} ${from}`);
  return rows.map((row) => {
    const record = {} as Record<C, string>;
    for (const [index, name] of names.entries()) {
      const value = row[index];
      if (typeof value !== 'string')
        throw new ChangeoverError('SOURCE_FAILED', `The schema changed while it was read (${name})`, {
          hint: 'Nothing was lost: the schema is read again.',
        });
      record[name] = value;
    }
    return record;
  });
}

/** SQL that is true for what users made: not initdb, not an extension, not the server for itself, not Changeover. */
export function isOwn(catalog: string, alias: string, namespace?: string): string {
  const byHand = `${alias}.oid >= ${firstOwnOid} and ${isNoMember(catalog, `${alias}.oid`)}`;
  return namespace ? `${byHand} and ${isOwnSchema(namespace)}` : byHand;
}

const isNot = (catalog: string, oid: string, type: string): string =>
  `not exists (select from pg_depend whole where whole.classid = 'pg_catalog.${catalog}'::regclass
     and whole.objid = ${oid} and whole.deptype = '${type}')`;

/** SQL that is false for what an extension brings. */
export const isNoMember = (catalog: string, oid: string): string => isNot(catalog, oid, 'e');

/** SQL that is false for what another object brings, as a type brings its array type. */
export const isNoPart = (catalog: string, oid: string): string => isNot(catalog, oid, 'i');

export const isOwnSchema = (namespace: string): string =>
  `${namespace} not in (select oid from pg_namespace where nspname ~ '^pg_' or nspname in ('information_schema', 'changeover'))`;

/** SQL of a relation's name, quoted and qualified. Not ::regclass, which gives a number for what was dropped meanwhile. */
export const qualified = (schema: string, name: string): string => `format('%I.%I', ${schema}, ${name})`;

/** SQL of an array of storage options as a list for WITH (...) or SET (...), in its own order; empty where there is none. */
export const optionList = (options: string, prefix = ''): string =>
  `coalesce((select string_agg('${prefix}' || quote_ident(o.name) || ' = ' || quote_literal(o.value), ', ' order by o.place)
     from pg_options_to_table(${options}) with ordinality o (name, value, place)), '')`;

export const groupBy = <T>(records: readonly T[], key: (record: T) => string): ReadonlyMap<string, readonly T[]> =>
  Map.groupBy(records, key);

/** A block of PL/pgSQL: what a plain statement cannot say, such as `only if`. */
export function block(body: string, declarations = ''): string {
  let tag = '$do$';
  for (let n = 1; body.includes(tag); n += 1) tag = `$do${n}$`;
  return `DO ${tag}\n${declarations && `DECLARE ${declarations}\n`}BEGIN\n${body}\nEND\n${tag}`;
}
