import type { Connection } from '../../../engine/postgres/connect.ts';
import { isOwn, optionList, qualified, readRecords } from './catalog.ts';
import { type ColumnsOf, collate } from './columns.ts';
import { address, type Item } from './item.ts';

const options = `(select case when list = '' then '' else ' WITH (' || list || ')' end from (values (${optionList('c.reloptions')})) v (list))`;

/** Views, and the defaults that their columns may have. A view that needs itself by way of a function is made twice: first with
 *  its columns only, then with its query. */
export async function readViews(connection: Connection, columnsOf: ColumnsOf): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 'c.oid',
      rule: 'r.oid',
      name: qualified('n.nspname', 'c.relname'),
      options,
      query: `rtrim(pg_get_viewdef(c.oid), ';')`,
    },
    `from pg_class c join pg_namespace n on n.oid = c.relnamespace
       join pg_rewrite r on r.ev_class = c.oid and r.rulename = '_RETURN'
     where c.relkind = 'v' and c.relpersistence <> 't' and ${isOwn('pg_class', 'c', 'n.oid')}`,
  );
  return records.flatMap(({ oid, rule, name, options, query }): Item[] => {
    const own = columnsOf(oid);
    const self = { id: address('relation', oid), kind: 'view', object: `view ${name}` } as const;
    const nothing = own.map((column) => `NULL::${column.type}${collate(column)} AS ${column.name}`).join(', ');
    const full = `VIEW ${name}${options} AS\n${query}`;
    return [
      {
        ...self,
        sql: `CREATE ${full}`,
        apart: () => [
          { ...self, object: `columns of view ${name}`, sql: `CREATE VIEW ${name} AS SELECT ${nothing}` },
          { ...self, id: address('rule', rule), sql: `CREATE OR REPLACE ${full}`, of: self.id },
        ],
      },
      ...own
        .filter((column) => column.defaultOid !== undefined)
        .map(
          (column): Item => ({
            id: address('default', column.defaultOid ?? ''),
            kind: 'rule',
            object: `default of column ${name}.${column.name}`,
            sql: `ALTER VIEW ${name} ALTER COLUMN ${column.name} SET DEFAULT ${column.default}`,
            of: self.id,
          }),
        ),
    ];
  });
}

/** Materialized views without their rows. */
export async function readMaterializedViews(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 'c.oid',
      name: qualified('n.nspname', 'c.relname'),
      options,
      accessMethod: `coalesce((select ' USING ' || quote_ident(am.amname) from pg_am am where am.oid = c.relam and am.amname <> 'heap'), '')`,
      query: `rtrim(pg_get_viewdef(c.oid), ';')`,
      isPopulated: 'c.relispopulated',
    },
    `from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'm' and ${isOwn('pg_class', 'c', 'n.oid')}`,
  );
  return records.flatMap(({ oid, name, options, accessMethod, query, isPopulated }): Item[] => [
    {
      id: address('relation', oid),
      kind: 'view',
      object: `materialized view ${name}`,
      sql: `CREATE MATERIALIZED VIEW ${name}${accessMethod}${options} AS\n${query}\nWITH NO DATA`,
    },
    ...(isPopulated === 'false'
      ? []
      : [
          {
            id: address('relation', oid, 'refresh'),
            kind: 'refresh' as const,
            object: `rows of materialized view ${name}`,
            sql: `REFRESH MATERIALIZED VIEW ${name}`,
            of: address('relation', oid),
          },
        ]),
  ]);
}
