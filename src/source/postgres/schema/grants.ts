import type { Connection } from '../../../engine/postgres/connect.ts';
import { quoteLiteral } from '../../../engine/postgres/identifier.ts';
import { block, groupBy, isNoMember, isOwnSchema, qualified, readRecords } from './catalog.ts';
import { address, type Catalog, type Item } from './item.ts';

/** A kind of object that privileges are granted on. */
interface Grantable {
  readonly catalog: Catalog;
  /** SQL: what follows `GRANT ... ON`. */
  readonly target: string;
  readonly oid: string;
  readonly owner: string;
  readonly acl: string;
  /** SQL: `(column)`, where the privilege is on a column. */
  readonly column: string;
  readonly from: string;
  /** PUBLIC may use it unless that was revoked. */
  readonly isPublic: boolean;
}

const relation = `case c.relkind when 'S' then 'SEQUENCE ' else 'TABLE ' end || ${qualified('n.nspname', 'c.relname')}`;
const fromRelations = `pg_class c join pg_namespace n on n.oid = c.relnamespace and ${isOwnSchema('n.oid')}
  and c.relkind in ('r', 'p', 'v', 'm', 'S') and c.relpersistence <> 't' and ${isNoMember('pg_class', 'c.oid')}`;
const none = { column: `''`, isPublic: false };
const grantables: readonly Grantable[] = [
  {
    ...none,
    catalog: 'schema',
    target: `'SCHEMA ' || quote_ident(n.nspname)`,
    oid: 'n.oid',
    owner: 'n.nspowner',
    // The public schema has privileges from initdb: they come from there at the other side too.
    acl: `(select n.nspacl where not exists (select from pg_init_privs i where i.classoid = 'pg_catalog.pg_namespace'::regclass
      and i.objoid = n.oid and i.initprivs = n.nspacl))`,
    from: `(select * from pg_namespace s where ${isOwnSchema('s.oid')} and ${isNoMember('pg_namespace', 's.oid')}) n`,
  },
  {
    ...none,
    catalog: 'relation',
    target: relation,
    oid: 'c.oid',
    owner: 'c.relowner',
    acl: 'c.relacl',
    from: fromRelations,
  },
  {
    ...none,
    catalog: 'relation',
    target: relation,
    oid: 'c.oid',
    owner: 'c.relowner',
    acl: 'a.attacl',
    column: `' (' || quote_ident(a.attname) || ')'`,
    from: `${fromRelations} join pg_attribute a on a.attrelid = c.oid and not a.attisdropped and a.attacl is not null`,
  },
  {
    catalog: 'routine',
    target: `'ROUTINE ' || p.oid::regprocedure`,
    oid: 'p.oid',
    owner: 'p.proowner',
    acl: 'p.proacl',
    column: `''`,
    from: `pg_proc p join pg_namespace n on n.oid = p.pronamespace and ${isOwnSchema('n.oid')}
      and p.proacl is not null and ${isNoMember('pg_proc', 'p.oid')}`,
    isPublic: true,
  },
  {
    catalog: 'type',
    target: `'TYPE ' || format_type(t.oid, -1)`,
    oid: 't.oid',
    owner: 't.typowner',
    acl: 't.typacl',
    column: `''`,
    from: `pg_type t join pg_namespace n on n.oid = t.typnamespace and ${isOwnSchema('n.oid')}
      and t.typacl is not null and ${isNoMember('pg_type', 't.oid')}`,
    isPublic: true,
  },
];

type Grant = Readonly<Record<'id' | 'target' | 'role' | 'privileges' | 'option', string>> & {
  readonly isPublic: boolean;
};

/** Privileges of all but the owner, who has them all. What is granted to a role that does
 *  not exist there is passed over. */
export async function readGrants(connection: Connection): Promise<readonly Item[]> {
  const grants: Grant[] = [];
  for (const kind of grantables) grants.push(...(await readKind(connection, kind)));
  return [...groupBy(grants, ({ id }) => id)].map(([id, all]) => {
    const [first] = all;
    const target = first?.target ?? '';
    const isRevoked = first?.isPublic === true && !all.some(({ role, privileges }) => role === '' && privileges !== '');
    const lines = [
      ...(isRevoked ? [`REVOKE ALL ON ${target} FROM PUBLIC;`] : []),
      ...all.filter(({ privileges }) => privileges !== '').map(grantLine),
    ];
    return {
      id: `${id}#grants`,
      kind: 'grant',
      object: `privileges of ${target.replace(/^[A-Z]+/, (word) => word.toLowerCase())}`,
      sql: block(lines.join('\n')),
      of: id,
    };
  });
}

function grantLine({ target, role, privileges, option }: Grant): string {
  if (role === '') return `GRANT ${privileges} ON ${target} TO PUBLIC;`;
  const [name = '', literal = ''] = JSON.parse(role) as string[];
  const exists = `EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${quoteLiteral(literal)})`;
  return `IF ${exists} THEN GRANT ${privileges} ON ${target} TO ${name}${option}; END IF;`;
}

async function readKind(connection: Connection, kind: Grantable): Promise<readonly Grant[]> {
  const records = await readRecords(
    connection,
    {
      oid: kind.oid,
      target: kind.target,
      role: `case when r.oid is null then '' else jsonb_build_array(quote_ident(r.rolname), r.rolname)::text end`,
      privileges: `coalesce(string_agg(g.privilege_type || ${kind.column}, ', ' order by g.privilege_type || ${kind.column}), '')`,
      option: `case when g.is_grantable then ' WITH GRANT OPTION' else '' end`,
    },
    // The left join keeps an object whose list names its owner only: PUBLIC was taken away there.
    `from ${kind.from}
       left join lateral aclexplode(${kind.acl}) g on g.grantee <> ${kind.owner}
       left join pg_roles r on r.oid = g.grantee
     where ${kind.acl} is not null and (g.privilege_type is not null or ${kind.isPublic})
     group by ${kind.oid}, 2, r.oid, r.rolname, g.is_grantable
     order by ${kind.oid}, r.rolname nulls first, g.is_grantable`,
  );
  return records.map((record) => ({ ...record, id: address(kind.catalog, record.oid), isPublic: kind.isPublic }));
}
