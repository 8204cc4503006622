import type { Connection } from '../../../engine/postgres/connect.ts';
import { groupBy, isOwn, qualified, readRecords } from './catalog.ts';
import { type ColumnsOf, collate } from './columns.ts';
import { callsOwnCode, type Dependencies } from './dependencies.ts';
import { address, type Item } from './item.ts';

const from = (kind: string): string =>
  `from pg_type t join pg_namespace n on n.oid = t.typnamespace
   where t.typtype = '${kind}' and ${isOwn('pg_type', 't', 'n.oid')}`;
const name = qualified('n.nspname', 't.typname');

export async function readEnums(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 't.oid',
      name,
      labels: `coalesce((select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
        from pg_enum e where e.enumtypid = t.oid), '')`,
    },
    from('e'),
  );
  return records.map(({ oid, name, labels }) => type(oid, name, `AS ENUM (${labels})`));
}

/** Ranges with a canonical function are left out: it is C code that needs the type before the type exists. */
export async function readRanges(connection: Connection): Promise<readonly Item[]> {
  const opclass = `(select ${qualified('cn.nspname', 'c.opcname')} from pg_opclass c join pg_namespace cn on cn.oid = c.opcnamespace
    where c.oid = r.rngsubopc)`;
  const records = await readRecords(
    connection,
    {
      oid: 't.oid',
      name,
      subtype: 'format_type(r.rngsubtype, -1)',
      opclass,
      collation: `coalesce((select r.rngcollation::regcollation::text from pg_type s
        where s.oid = r.rngsubtype and s.typcollation <> r.rngcollation), '')`,
      difference: `case when r.rngsubdiff = 0 then '' else r.rngsubdiff::regproc::text end`,
      multirange: `(select ${qualified('mn.nspname', 'm.typname')} from pg_type m join pg_namespace mn on mn.oid = m.typnamespace
        where m.oid = r.rngmultitypid)`,
    },
    from('r').replace(' where', ' join pg_range r on r.rngtypid = t.oid where r.rngcanonical = 0 and'),
  );
  return records.map(({ oid, name, subtype, opclass, collation, difference, multirange }) => {
    const options = [
      `subtype = ${subtype}`,
      `subtype_opclass = ${opclass}`,
      ...(collation ? [`collation = ${collation}`] : []),
      ...(difference ? [`subtype_diff = ${difference}`] : []),
      `multirange_type_name = ${multirange}`,
    ];
    return type(oid, name, `AS RANGE (${options.join(', ')})`);
  });
}

export async function readComposites(connection: Connection, columnsOf: ColumnsOf): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    { oid: 't.oid', name, relation: 't.typrelid' },
    `${from('c')} and (select c.relkind from pg_class c where c.oid = t.typrelid) = 'c'`,
  );
  return records.map(({ oid, name, relation }) => {
    const list = columnsOf(relation).map((column) => `${column.name} ${column.type}${collate(column)}`);
    return type(oid, name, `AS (${list.join(', ')})`);
  });
}

/** Checks that call own code may do so with the domain itself: they are added when that code exists. One that is not valid
 *  comes after the rows, which need not keep to it. */
export async function readDomains(connection: Connection, dependencies: Dependencies): Promise<readonly Item[]> {
  const domains = await readRecords(
    connection,
    {
      oid: 't.oid',
      name,
      base: 'format_type(t.typbasetype, t.typtypmod)',
      collation: `coalesce((select t.typcollation::regcollation::text from pg_type b
        where b.oid = t.typbasetype and b.typcollation <> t.typcollation), '')`,
      default: `coalesce(pg_get_expr(t.typdefaultbin, 0), '')`,
      notNull: `case when t.typnotnull then coalesce((select 'CONSTRAINT ' || quote_ident(k.conname) || ' ' from pg_constraint k
        where k.contypid = t.oid and k.contype = 'n' and k.conname <> t.typname || '_not_null'), '') || 'NOT NULL' else '' end`,
    },
    from('d'),
  );
  const checks = await readRecords(
    connection,
    {
      oid: 'k.oid',
      domain: 'k.contypid',
      name: 'quote_ident(k.conname)',
      sql: `'CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid)`,
      isValid: 'k.convalidated',
    },
    `from pg_constraint k where k.contype = 'c' and k.contypid <> 0 order by k.conname`,
  );
  const checksOf = groupBy(checks, (check) => check.domain);
  return domains.flatMap(({ oid, name, base, collation, default: preset, notNull }) => {
    const own = checksOf.get(oid) ?? [];
    const isInline = (check: (typeof own)[number]): boolean =>
      check.isValid === 'true' && !callsOwnCode(dependencies, address('constraint', check.oid));
    const parts = [
      `CREATE DOMAIN ${name} AS ${base}${collate({ collation })}`,
      ...(preset ? [`DEFAULT ${preset}`] : []),
      ...(notNull ? [notNull] : []),
      ...own.filter(isInline).map(({ sql }) => sql),
    ];
    const rest = own.filter((check) => !isInline(check));
    return [
      { id: address('type', oid), kind: 'type' as const, object: `domain ${name}`, sql: parts.join(' ') },
      ...rest.map((check) => ({
        id: address('constraint', check.oid),
        kind: check.isValid === 'true' ? ('domainCheck' as const) : ('lateCheck' as const),
        object: `constraint ${check.name} of domain ${name}`,
        sql: `ALTER DOMAIN ${name} ADD ${check.sql}`,
        of: address('type', oid),
      })),
    ];
  });
}

const type = (oid: string, name: string, as: string): Item => ({
  id: address('type', oid),
  kind: 'type',
  object: `type ${name}`,
  sql: `CREATE TYPE ${name} ${as}`,
});
