import type { Connection } from '../../../engine/postgres/connect.ts';
import { quoteLiteral } from '../../../engine/postgres/identifier.ts';
import { readRecords } from './catalog.ts';
import { firstOwnOid, type Item } from './item.ts';

/** By the words of pg_identify_object(): what follows COMMENT ON where that is not the same word. */
const words: Readonly<Record<string, string>> = {
  function: 'ROUTINE',
  procedure: 'ROUTINE',
  aggregate: 'ROUTINE',
  'statistics object': 'STATISTICS',
  'table constraint': 'CONSTRAINT',
};

/** Comments on all that is copied. Those of extensions come with the extension, that of the public schema with initdb. */
export async function readComments(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      catalog: 'd.classoid',
      oid: 'd.objoid',
      column: 'd.objsubid',
      type: `coalesce(i.type, '')`,
      identity: `coalesce(i.identity, '')`,
      text: 'd.description',
    },
    `from pg_description d cross join lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) i
     where (d.objoid >= ${firstOwnOid} or d.classoid = 'pg_catalog.pg_namespace'::regclass and i.identity = 'public'
         and d.description <> 'standard public schema')
       and d.classoid <> 'pg_catalog.pg_extension'::regclass
       and not exists (select from pg_depend e where e.classid = d.classoid and e.objid = d.objoid and e.deptype = 'e')`,
  );
  return records
    .filter(({ type }) => type !== '')
    .map(({ catalog, oid, column, type, identity, text }) => ({
      id: `${catalog}/${oid}#comment ${column}`,
      kind: 'comment',
      object: `comment on ${type} ${identity}`,
      sql: `COMMENT ON ${target(type, identity)} IS ${quoteLiteral(text)}`,
      of: `${catalog}/${oid}`,
    }));
}

function target(type: string, identity: string): string {
  if (type === 'domain constraint')
    return `CONSTRAINT ${identity.replace(/^("(?:[^"]|"")*"|[^ ]+) on /, '$1 ON DOMAIN ')}`;
  if (type.endsWith(' column')) return `COLUMN ${identity}`;
  return `${words[type] ?? type.toUpperCase()} ${identity}`;
}
