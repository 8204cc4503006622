import { type Table, tableName } from '../../change/table.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from '../../engine/postgres/identifier.ts';
import { ChangeoverError } from '../../error.ts';
import type { Session, Statement } from './session.ts';

interface TargetColumn {
  readonly name: string;
  /** Place in the source's rows. */
  readonly place: number;
  readonly typeOid: number;
  /** Of a domain: the OID of the type beneath. A row that is looked for may hold a value from before the domain's constraint. */
  readonly soughtOid: number;
  /** Of a domain: the type beneath, without its limits. A domain itself has no operators, and over an enum it does not pass for one. */
  readonly baseType: string | undefined;
  readonly key: boolean;
  /** The type's own equality, qualified where it is not PostgreSQL's; undefined where the type has none. */
  readonly equals: string | undefined;
  /** Whether that equality may be asked of any two values, and says yes where their texts are the same. Not so of arrays and composites,
   *  which may hold what has none (a point), nor of geometric types, whose NaN is not itself. */
  readonly equalsTexts: boolean;
  /** GENERATED ALWAYS AS IDENTITY: may be inserted, never updated. */
  readonly always: boolean;
}

/** How changes of one shape of a source table are written to the table of the same name here. */
export interface Plan {
  readonly name: string;
  /** The table by itself, for what looks for rows: those of tables that inherit from it have changes of their own. */
  readonly alone: string;
  /** The columns that are written: those of the source that are not generated here. */
  readonly columns: readonly TargetColumn[];
  readonly keyColumns: readonly TargetColumn[];
  /** Places of `columns` and of `keyColumns`, ascending. */
  readonly places: readonly number[];
  readonly keyPlaces: readonly number[];
  /** What identifies a row: its key, or all of it where there is none. */
  readonly identifying: readonly number[];
  /** Places of the columns that may be inserted and never updated, and are no key. */
  readonly fixedColumns: readonly TargetColumn[];
  readonly fixedPlaces: readonly number[];
  readonly insert: Statement;
  /** The parameters are what identifies. */
  readonly remove: Statement;
  /** An UPDATE of what may be updated of the columns at `places`; the parameters are those, then what identifies, then the fixed columns
   *  of a row with a key: a row that has other values there is not touched, and must be replaced. */
  update(places: readonly number[]): Statement;
  /** Puts a row in the place of one, which gives it the columns that are not at `places`. The parameters are the columns at `places`,
   *  then what identifies the former row. */
  replace(places: readonly number[]): Statement;
  /** Name of the session's staging table, once it was made. */
  stage: string | undefined;
}

/** Looks tables up here, all of them at once. Throws TARGET_TABLE_DIFFERS when one of them or one of the source's columns is missing. */
export async function planFor(session: Session, tables: readonly Table[]): Promise<readonly Plan[]> {
  const names = tables.map((table) => quoteLiteral(quoteTable(table)));
  const found = await session.rows(
    `SELECT w.place, c.relkind, a.attname, a.atttypid, a.attgenerated, a.attidentity, o.oprname, n.nspname,
            CASE WHEN t.oid <> a.atttypid THEN pg_catalog.format_type(t.oid, -1) END,
            (o.oprcanmerge OR o.oprcanhash) AND t.typtype <> 'c' AND t.typcategory <> 'A',
            pg_catalog.format_type(a.atttypid, a.atttypmod), t.oid
       FROM pg_catalog.unnest(ARRAY[${names.join(', ')}]) WITH ORDINALITY w (name, place)
       JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(w.name)
       LEFT JOIN (
         pg_catalog.pg_attribute a
         CROSS JOIN LATERAL (
           -- Beneath a domain there may be another one.
           WITH RECURSIVE beneath AS (
             SELECT oid, typtype, typbasetype, typcategory FROM pg_catalog.pg_type WHERE oid = a.atttypid
             UNION ALL
             SELECT b.oid, b.typtype, b.typbasetype, b.typcategory
               FROM beneath d JOIN pg_catalog.pg_type b ON b.oid = d.typbasetype WHERE d.typtype = 'd')
           SELECT oid, typtype, typcategory FROM beneath WHERE typtype <> 'd') t
       ) ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_catalog.pg_operator o ON o.oprname = '=' AND o.oprresult = 'pg_catalog.bool'::pg_catalog.regtype
        AND o.oprleft = o.oprright AND o.oprleft = CASE
          WHEN t.typtype = 'e' THEN 'pg_catalog.anyenum'::pg_catalog.regtype
          WHEN t.typtype = 'r' THEN 'pg_catalog.anyrange'::pg_catalog.regtype
          WHEN t.typtype = 'm' THEN 'pg_catalog.anymultirange'::pg_catalog.regtype
          WHEN t.typtype = 'c' THEN 'pg_catalog.record'::pg_catalog.regtype
          WHEN t.typcategory = 'A' THEN 'pg_catalog.anyarray'::pg_catalog.regtype
          WHEN t.oid = 'pg_catalog.varchar'::pg_catalog.regtype THEN 'pg_catalog.text'::pg_catalog.regtype
          ELSE t.oid END
       LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace`,
    `Looking up ${tables.length === 1 && tables[0] ? tableName(tables[0]) : `${tables.length} tables`}`,
  );
  const here = new Map<string, (readonly (string | null)[])[]>();
  for (const [place, ...column] of found) {
    const columns = here.get(place ?? '') ?? [];
    columns.push(column);
    here.set(place ?? '', columns);
  }
  return tables.map((table, index) => {
    const columns = here.get(String(index + 1));
    if (!columns)
      throw new ChangeoverError('TARGET_TABLE_DIFFERS', `The table ${tableName(table)} is missing at the secondary`);
    const name = quoteTable(table);
    return newPlan(name, isPartitioned(columns[0]?.[0]) ? name : `ONLY ${name}`, columnsOf(table, columns));
  });
}

/** `found`: what was looked up of each column here; of a table without any, one row of nothing. */
function columnsOf(table: Table, found: readonly (readonly (string | null)[])[]): readonly TargetColumn[] {
  const here = new Map(found.map(([_kind, name, ...rest]) => [name, rest]));
  return table.columns.flatMap((column, place): TargetColumn[] => {
    const [type, generated, identity, operator, operatorSchema, baseType, equalsTexts, typeName, base] =
      here.get(column.name) ?? [];
    if (type === undefined) {
      const name = quoteIdentifier(column.name);
      throw new ChangeoverError(
        'TARGET_TABLE_DIFFERS',
        `The table ${tableName(table)} has no column ${name} at the secondary`,
        { hint: cure(table, `ADD COLUMN ${name} ${column.type}`) },
      );
    }
    if (generated !== '') return [];
    if (isOther(column.type, typeName ?? '')) {
      const name = quoteIdentifier(column.name);
      throw new ChangeoverError(
        'TARGET_TABLE_DIFFERS',
        `The column ${name} of ${tableName(table)} is ${column.type} at the primary and ${typeName} at the secondary`,
        { hint: cure(table, `ALTER COLUMN ${name} TYPE ${column.type} USING ${name}::text::${column.type}`) },
      );
    }
    const equals = operator ? `OPERATOR(${quoteIdentifier(operatorSchema ?? '')}.${operator})` : undefined;
    const always = identity === 'a';
    const { name, key } = column;
    return [
      {
        name,
        place,
        typeOid: Number(type),
        soughtOid: Number(base),
        baseType: baseType ?? undefined,
        key,
        equals,
        equalsTexts: equalsTexts === 't',
        always,
      },
    ];
  });
}

const cure = (table: Table, change: string): string =>
  `The table was changed at the primary, and nobody told us. Make the same change at the secondary, and start again:
ALTER TABLE ${quoteTable(table)} ${change};`;

/** A value could fit all the same, and be bent (invariant 14). A type of a user may have been renamed since, which its qualified name
 *  shows; the source may not know the name. */
const isOther = (there: string, here: string): boolean => there !== '' && there !== here && !there.includes('.');

/** What to write behind FROM or TRUNCATE to mean this table without those that inherit from it. Partitions are all that a partitioned
 *  table has. */
export async function aloneName(session: Session, table: Pick<Table, 'schema' | 'name'>): Promise<string> {
  const name = quoteTable(table);
  const [found] = await session.rows(
    `SELECT relkind FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(${quoteLiteral(name)})`,
    `Looking up ${tableName(table)}`,
  );
  return isPartitioned(found?.[0]) ? name : `ONLY ${name}`;
}

const isPartitioned = (relkind: string | null | undefined): boolean => relkind === 'p';

function newPlan(name: string, alone: string, columns: readonly TargetColumn[]): Plan {
  const keyColumns = columns.filter((column) => column.key);
  const fixedColumns = columns.filter((column) => column.always && !column.key);
  const list = listOf(columns);
  const values = columns.map((_, index) => `$${index + 1}`).join(', ');
  const insert =
    columns.length === 0
      ? `INSERT INTO ${name} DEFAULT VALUES`
      : `INSERT INTO ${name} (${list}) OVERRIDING SYSTEM VALUE VALUES (${values})`;
  const identifying = keyColumns.length > 0 ? keyColumns : columns;
  const fixed = keyColumns.length > 0 ? fixedColumns : [];
  const typesOf = (some: readonly TargetColumn[]): number[] => some.map((column) => column.typeOid);
  const soughtTypes = identifying.map((column) => column.soughtOid);
  return {
    name,
    alone,
    columns,
    keyColumns,
    places: placesOf(columns),
    keyPlaces: placesOf(keyColumns),
    identifying: placesOf(identifying),
    fixedColumns: fixed,
    fixedPlaces: placesOf(fixed),
    insert: { sql: insert, types: typesOf(columns) },
    remove: { sql: `DELETE FROM ${alone} WHERE ${where(alone, columns, 1)}`, types: soughtTypes },
    stage: undefined,
    update: remembered((places) => {
      const set = columns.filter((column) => places.includes(column.place) && !column.always);
      const update = `UPDATE ${alone} SET ${set.map((column, index) => `${quoteIdentifier(column.name)} = $${index + 1}`).join(', ')}`;
      const behind = set.length + identifying.length + 1;
      const same = fixed.map((column, index) => ` AND ${quoteIdentifier(column.name)} = $${behind + index}`).join('');
      // Nothing that may be written was sent: nothing changes, but the row must be there.
      const sql = `${set.length > 0 ? update : `SELECT FROM ${alone}`} WHERE ${where(alone, columns, set.length + 1)}${same}`;
      return { sql, types: [...typesOf(set), ...soughtTypes, ...typesOf(fixed)] };
    }),
    replace: remembered((places) => {
      const sent = columns.filter((column) => places.includes(column.place));
      const taken = columns.map((column) =>
        sent.includes(column) ? `$${sent.indexOf(column) + 1}` : `gone.${quoteIdentifier(column.name)}`,
      );
      const sql = `WITH gone AS (DELETE FROM ${alone} WHERE ${where(alone, columns, sent.length + 1)} RETURNING *)
        INSERT INTO ${name} (${list}) OVERRIDING SYSTEM VALUE SELECT ${taken.join(', ')} FROM gone`;
      return { sql, types: [...typesOf(sent), ...soughtTypes] };
    }),
  };
}

const listOf = (columns: readonly TargetColumn[]): string =>
  columns.map((column) => quoteIdentifier(column.name)).join(', ');

const placesOf = (columns: readonly TargetColumn[]): number[] => columns.map((column) => column.place);

/** Makes each statement once: a session prepares it by its identity. */
function remembered(make: (places: readonly number[]) => Statement): (places: readonly number[]) => Statement {
  const made = new Map<string, Statement>();
  return (places) => {
    const key = places.join(',');
    const known = made.get(key) ?? make(places);
    made.set(key, known);
    return known;
  };
}

/** `left` is what stands before the column's name: nothing, or the name of its table and a point. */
export function equality(column: TargetColumn, left: '' | 't.', right: string): string {
  const cast = column.baseType ? `::${column.baseType}` : '';
  return `${left}${quoteIdentifier(column.name)}${cast} ${column.equals ?? '='} ${right}${cast}`;
}

/** One row by its key; or, without a key, one of the rows that are equal in all columns, whichever: they cannot be told apart. */
function where(alone: string, columns: readonly TargetColumn[], firstParameter: number): string {
  const keyColumns = columns.filter((column) => column.key);
  if (keyColumns.length > 0) {
    return keyColumns.map((column, index) => equality(column, '', `$${firstParameter + index}`)).join(' AND ');
  }
  const same = columns.map((column, index) => {
    const [left, right] = [quoteIdentifier(column.name), `$${firstParameter + index}`];
    // What a type calls equal may still look different (1.0 and 1.00, 'a' and 'A'), and the source's text is what counts. Its own
    // equality is asked first where there is one, because it costs less.
    const alike = `${left}::pg_catalog.text OPERATOR(pg_catalog.=) ${right}::pg_catalog.text`;
    const equal =
      column.equals === undefined || !column.equalsTexts ? alike : `${equality(column, '', right)} AND ${alike}`;
    return `(${equal} OR (${left} IS NULL AND ${right} IS NULL))`;
  });
  return `ctid = (SELECT ctid FROM ${alone} WHERE ${same.join(' AND ') || 'true'} LIMIT 1)`;
}
