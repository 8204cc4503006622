import { type Table, tableName } from '../../change/table.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from '../../engine/postgres/identifier.ts';
import { ChangeoverError } from '../../error.ts';
import type { Session, Statement } from './session.ts';

interface TargetColumn {
  readonly name: string;
  /** Place in the source's rows. */
  readonly place: number;
  readonly typeOid: number;
  /** Of a domain: the type beneath. */
  readonly baseType: string | undefined;
  readonly key: boolean;
  /** The type's own equality, qualified where it is not PostgreSQL's; undefined where the type has none. */
  readonly equals: string | undefined;
  /** GENERATED ALWAYS AS IDENTITY: may be inserted, never updated. */
  readonly always: boolean;
}

/** How changes of one shape of a source table are written to the table of the same name here. */
export interface Plan {
  readonly name: string;
  /** The columns that are written: those of the source that are not generated here. */
  readonly columns: readonly TargetColumn[];
  readonly keyColumns: readonly TargetColumn[];
  /** Places of `columns` and of `keyColumns`, ascending. */
  readonly places: readonly number[];
  readonly keyPlaces: readonly number[];
  readonly insert: Statement;
  /** By key, or by the whole row where there is none. */
  readonly remove: Statement;
  /** An UPDATE of the columns at `places`, by key or by the whole row; the parameters are those columns, then what identifies. */
  update(places: readonly number[]): Statement;
  /** True where an UPDATE cannot write what the source holds: the row is replaced instead. */
  readonly replaces: boolean;
  /** Name of the session's staging table, once it was made. */
  stage: string | undefined;
}

/** Looks the table up here. Throws TARGET_TABLE_DIFFERS when it or one of the source's columns is missing. */
export async function planFor(session: Session, table: Table): Promise<Plan> {
  const found = await session.rows(
    `SELECT a.attname, a.atttypid, a.attgenerated, a.attidentity, o.oprname, n.nspname,
            CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END
       FROM pg_catalog.pg_attribute a
       JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
       LEFT JOIN pg_catalog.pg_operator o ON o.oprname = '=' AND o.oprresult = 'pg_catalog.bool'::pg_catalog.regtype
        AND o.oprleft = o.oprright AND o.oprleft = CASE
          WHEN t.typbasetype <> 0 THEN t.typbasetype
          WHEN t.typtype = 'e' THEN 'pg_catalog.anyenum'::pg_catalog.regtype
          WHEN t.typtype = 'r' THEN 'pg_catalog.anyrange'::pg_catalog.regtype
          WHEN t.typtype = 'm' THEN 'pg_catalog.anymultirange'::pg_catalog.regtype
          WHEN t.typtype = 'c' THEN 'pg_catalog.record'::pg_catalog.regtype
          WHEN t.typcategory = 'A' THEN 'pg_catalog.anyarray'::pg_catalog.regtype
          WHEN t.oid = 'pg_catalog.varchar'::pg_catalog.regtype THEN 'pg_catalog.text'::pg_catalog.regtype
          ELSE t.oid END
       LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
      WHERE a.attrelid = pg_catalog.to_regclass(${quoteLiteral(quoteTable(table))})
        AND a.attnum > 0 AND NOT a.attisdropped`,
    `Looking up ${tableName(table)}`,
  );
  const here = new Map(found.map(([name, ...rest]) => [name, rest]));
  const columns = table.columns.flatMap((column, place): TargetColumn[] => {
    const [type, generated, identity, operator, operatorSchema, baseType] = here.get(column.name) ?? [];
    if (type === undefined) {
      const what = here.size === 0 ? 'is missing' : `has no column ${quoteIdentifier(column.name)}`;
      throw new ChangeoverError('TARGET_TABLE_DIFFERS', `The table ${tableName(table)} ${what} at the secondary`);
    }
    if (generated !== '') return [];
    const equals = operator ? `OPERATOR(${quoteIdentifier(operatorSchema ?? '')}.${operator})` : undefined;
    const always = identity === 'a';
    const { name, key } = column;
    return [{ name, place, typeOid: Number(type), baseType: baseType ?? undefined, key, equals, always }];
  });
  if (here.size === 0) {
    const [exists] = await session.rows(
      `SELECT pg_catalog.to_regclass(${quoteLiteral(quoteTable(table))})`,
      `Looking up ${tableName(table)}`,
    );
    if (!exists?.[0])
      throw new ChangeoverError('TARGET_TABLE_DIFFERS', `The table ${tableName(table)} is missing at the secondary`);
  }
  return newPlan(quoteTable(table), columns);
}

function newPlan(name: string, columns: readonly TargetColumn[]): Plan {
  const keyColumns = columns.filter((column) => column.key);
  const updates = new Map<string, Statement>();
  const list = columns.map((column) => quoteIdentifier(column.name)).join(', ');
  const values = columns.map((_, index) => `$${index + 1}`).join(', ');
  const insert =
    columns.length === 0
      ? `INSERT INTO ${name} DEFAULT VALUES`
      : `INSERT INTO ${name} (${list}) OVERRIDING SYSTEM VALUE VALUES (${values})`;
  const identifying = keyColumns.length > 0 ? keyColumns : columns;
  return {
    name,
    columns,
    keyColumns,
    places: columns.map((column) => column.place),
    keyPlaces: keyColumns.map((column) => column.place),
    insert: { sql: insert, types: columns.map((column) => column.typeOid) },
    remove: {
      sql: `DELETE FROM ${name} WHERE ${where(name, columns, 1)}`,
      types: identifying.map((column) => column.typeOid),
    },
    replaces: columns.some((column) => column.always && !column.key),
    stage: undefined,
    update(places) {
      const key = places.join(',');
      const known = updates.get(key);
      if (known) return known;
      const set = columns.filter((column) => places.includes(column.place) && !column.always);
      const assignments = set.map((column, index) => `${quoteIdentifier(column.name)} = $${index + 1}`).join(', ');
      const update = `UPDATE ${name} SET ${assignments}`;
      // Nothing that may be written was sent: nothing changes, but the row must be there.
      const statement = {
        sql: `${set.length > 0 ? update : `SELECT FROM ${name}`} WHERE ${where(name, columns, set.length + 1)}`,
        types: [...set, ...identifying].map((column) => column.typeOid),
      };
      updates.set(key, statement);
      return statement;
    },
  };
}

/** One row by its key; or, without a key, one of the rows that are equal in all columns, whichever: they cannot be told apart. */
function where(name: string, columns: readonly TargetColumn[], firstParameter: number): string {
  const keyColumns = columns.filter((column) => column.key);
  if (keyColumns.length > 0) {
    return keyColumns
      .map((column, index) => `${quoteIdentifier(column.name)} ${column.equals ?? '='} $${firstParameter + index}`)
      .join(' AND ');
  }
  const same = columns.map((column, index) => {
    const [left, right] = [quoteIdentifier(column.name), `$${firstParameter + index}`];
    return column.equals === undefined
      ? `${left}::pg_catalog.text IS NOT DISTINCT FROM ${right}::pg_catalog.text`
      : `(${left} ${column.equals} ${right} OR (${left} IS NULL AND ${right} IS NULL))`;
  });
  return `ctid = (SELECT ctid FROM ${name} WHERE ${same.join(' AND ') || 'true'} LIMIT 1)`;
}
