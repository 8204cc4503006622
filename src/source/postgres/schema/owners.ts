import type { Connection } from '../../../engine/postgres/connect.ts';
import { quoteLiteral } from '../../../engine/postgres/identifier.ts';
import { block, isNoMember, isOwnSchema, qualified, readRecords } from './catalog.ts';
import { address, type Catalog, type Item } from './item.ts';

/** A kind of object whose owner matters: views and SECURITY DEFINER functions act with his rights, and an application that changes its
 *  own schema must be able to go on doing so after a failover. */
interface Owned {
  readonly catalog: Catalog;
  /** SQL: the kind, as in `ALTER ... OWNER TO`. */
  readonly word: string;
  readonly name: string;
  readonly oid: string;
  readonly owner: string;
  readonly from: string;
  /** The owner of the object with this name at the other side. */
  readonly there: (name: string) => string;
}

const owned: readonly Owned[] = [
  {
    catalog: 'schema',
    word: `'SCHEMA'`,
    name: 'quote_ident(n.nspname)',
    oid: 'n.oid',
    owner: 'n.nspowner',
    from: `pg_namespace n where ${isOwnSchema('n.oid')} and ${isNoMember('pg_namespace', 'n.oid')} and n.oid >= 16384`,
    there: (name) => `SELECT nspowner FROM pg_catalog.pg_namespace WHERE oid = pg_catalog.to_regnamespace(${name})`,
  },
  {
    catalog: 'relation',
    // What ALTER TABLE says of views and sequences is right, too; a sequence that belongs to a column goes with its table.
    word: `'TABLE'`,
    name: qualified('n.nspname', 'c.relname'),
    oid: 'c.oid',
    owner: 'c.relowner',
    from: `pg_class c join pg_namespace n on n.oid = c.relnamespace and ${isOwnSchema('n.oid')}
      where c.relkind in ('r', 'p', 'v', 'm', 'S') and c.relpersistence <> 't' and ${isNoMember('pg_class', 'c.oid')}
        and not (c.relkind = 'S' and exists (select from pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass
          and d.objid = c.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0))`,
    there: (name) => `SELECT relowner FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(${name})`,
  },
  {
    catalog: 'routine',
    word: `'ROUTINE'`,
    name: 'p.oid::regprocedure',
    oid: 'p.oid',
    owner: 'p.proowner',
    from: `pg_proc p join pg_namespace n on n.oid = p.pronamespace and ${isOwnSchema('n.oid')}
      where ${isNoMember('pg_proc', 'p.oid')} and not exists (select from pg_depend d
        where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i')`,
    there: (name) => `SELECT proowner FROM pg_catalog.pg_proc WHERE oid = pg_catalog.to_regprocedure(${name})`,
  },
  {
    catalog: 'type',
    word: `'TYPE'`,
    name: 'format_type(t.oid, -1)',
    oid: 't.oid',
    owner: 't.typowner',
    // Not the row types of tables, nor the arrays and multiranges that come with a type.
    from: `pg_type t join pg_namespace n on n.oid = t.typnamespace and ${isOwnSchema('n.oid')}
      left join pg_class c on c.oid = t.typrelid
      where t.typtype in ('c', 'd', 'e', 'r') and (c.oid is null or c.relkind = 'c') and ${isNoMember('pg_type', 't.oid')}`,
    there: (name) => `SELECT typowner FROM pg_catalog.pg_type WHERE oid = pg_catalog.to_regtype(${name})`,
  },
];

/** Gives what the copy made to the role that owns the original, where that role exists at the other side and whoever copies has its
 *  rights: he must be able to go on writing. Anything that somebody else made there stays his. */
export async function readOwners(connection: Connection): Promise<readonly Item[]> {
  const items: Item[] = [];
  for (const kind of owned) items.push(...(await readKind(connection, kind)));
  return items;
}

async function readKind(connection: Connection, kind: Owned): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: kind.oid,
      word: kind.word,
      name: kind.name,
      role: `(select quote_ident(r.rolname) from pg_roles r where r.oid = ${kind.owner})`,
      roleName: `(select r.rolname from pg_roles r where r.oid = ${kind.owner})`,
    },
    `from ${kind.from} order by ${kind.oid}`,
  );
  return records.map(({ oid, word, name, role, roleName }) => {
    const id = address(kind.catalog, oid);
    return {
      id: `${id}#owner`,
      kind: 'owner',
      object: `owner of ${word.toLowerCase()} ${name}`,
      sql: block(`IF EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = ${quoteLiteral(roleName)}
    AND r.rolname <> current_user AND pg_catalog.pg_has_role(r.oid, 'USAGE'))
  AND pg_catalog.pg_get_userbyid((${kind.there(quoteLiteral(name))})) = current_user
THEN ALTER ${word} ${name} OWNER TO ${role}; END IF;
EXCEPTION WHEN insufficient_privilege THEN NULL; -- The new owner may not create in this schema.`),
      of: id,
    };
  });
}
