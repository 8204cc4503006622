import type { Connection } from '../../../engine/postgres/connect.ts';
import { quoteLiteral } from '../../../engine/postgres/identifier.ts';
import { block, isNoMember, isOwnSchema, qualified, readRecords } from './catalog.ts';
import { address, type Item } from './item.ts';

/** Policies. One that names roles is made for those that exist at the other side, and not at all where none does. */
export async function readPolicies(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 'p.oid',
      table: 'c.oid',
      tableName: qualified('n.nspname', 'c.relname'),
      name: 'quote_ident(p.polname)',
      permissive: `case when p.polpermissive then 'PERMISSIVE' else 'RESTRICTIVE' end`,
      command: `case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE' else 'ALL' end`,
      roles: `coalesce((select string_agg(quote_literal(r.rolname), ', ' order by r.rolname) from pg_roles r
        where r.oid = any (p.polroles)), '')`,
      using: `coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')`,
      check: `coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')`,
    },
    `from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
     where ${isOwnSchema('n.oid')} and ${isNoMember('pg_class', 'c.oid')}`,
  );
  return records.map((record) => {
    const { oid, table, tableName, name, permissive, command, roles, using, check } = record;
    const head = `CREATE POLICY ${name} ON ${tableName} AS ${permissive} FOR ${command} TO `;
    return {
      id: address('policy', oid),
      kind: 'policy',
      object: `policy ${name} on ${tableName}`,
      sql: roles === '' ? `${head}PUBLIC${using}${check}` : forRoles(roles, head, `${using}${check}`),
      of: address('relation', table),
    };
  });
}

const forRoles = (roles: string, head: string, tail: string): string =>
  block(
    `SELECT string_agg(quote_ident(rolname), ', ' ORDER BY rolname) INTO present
  FROM pg_catalog.pg_roles WHERE rolname IN (${roles});
IF present IS NOT NULL THEN
  EXECUTE ${quoteLiteral(head)} || present || ${quoteLiteral(tail)};
END IF;`,
    'present text;',
  );

export async function readRowSecurity(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      table: 'c.oid',
      name: qualified('n.nspname', 'c.relname'),
      actions: `concat_ws(', ', case when c.relrowsecurity then 'ENABLE ROW LEVEL SECURITY' end,
        case when c.relforcerowsecurity then 'FORCE ROW LEVEL SECURITY' end)`,
    },
    `from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where (c.relrowsecurity or c.relforcerowsecurity) and ${isOwnSchema('n.oid')}`,
  );
  return records.map(({ table, name, actions }) => ({
    id: address('relation', table, 'row security'),
    kind: 'policy',
    object: `row security of table ${name}`,
    sql: `ALTER TABLE ${name} ${actions}`,
    of: address('relation', table),
  }));
}
