import type { Connection } from '../../../engine/postgres/connect.ts';
import { isNoMember, isOwnSchema, optionList, qualified, readRecords } from './catalog.ts';
import { address, type IsCopied, type Item } from './item.ts';

/** Keys, unique and exclusion constraints by their own names at every level of a partition tree, joined afterwards like
 *  indexes; foreign keys at the highest level that is copied, from where the server spreads them. All after the rows. */
export async function readConstraints(connection: Connection, isCopied: IsCopied): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 'k.oid',
      table: 'c.oid',
      tableName: qualified('n.nspname', 'c.relname'),
      name: 'quote_ident(k.conname)',
      type: 'k.contype',
      definition: 'pg_get_constraintdef(k.oid)',
      options: `coalesce((select ${optionList('i.reloptions')} from pg_class i where i.oid = k.conindid), '')`,
      isPartitioned: `c.relkind = 'p'`,
      parentTable: `coalesce(p.conrelid::text, '')`,
    },
    `from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
       left join pg_constraint p on p.oid = k.conparentid and k.contype = 'f'
     where c.relpersistence <> 't' and ${isOwnSchema('n.oid')} and ${isNoMember('pg_class', 'c.oid')}
       -- Of a foreign key to a partitioned table the server keeps further ones to its partitions, with the same owner.
       and (k.contype in ('p', 'u', 'x') or (k.contype = 'f' and p.conrelid is distinct from k.conrelid))`,
  );
  const highest = records.filter(({ parentTable }) => !isCopied(parentTable));
  return highest.map(({ oid, table, tableName, name, type, definition, options, isPartitioned }) => {
    const isForeign = type === 'f';
    // A foreign key of a partitioned table must reach its partitions; a key must not: they bring theirs.
    const only = isForeign && isPartitioned === 'true' ? '' : 'ONLY ';
    return {
      id: address('constraint', oid),
      kind: isForeign ? 'foreignKey' : 'key',
      object: `constraint ${name} of table ${tableName}`,
      sql: `ALTER TABLE ${only}${tableName} ADD CONSTRAINT ${name} ${withOptions(type, definition, options)}`,
      of: address('relation', table),
    };
  });
}

/** pg_get_constraintdef() leaves out the options of a key's index, which stand before `DEFERRABLE`. */
function withOptions(type: string, definition: string, options: string): string {
  if (options === '' || (type !== 'p' && type !== 'u')) return definition;
  return definition.replace(/(?: DEFERRABLE)?(?: INITIALLY DEFERRED)?$/, (tail) => ` WITH (${options})${tail}`);
}
