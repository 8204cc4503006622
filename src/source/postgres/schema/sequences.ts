import type { Connection } from '../../../engine/postgres/connect.ts';
import { quoteLiteral } from '../../../engine/postgres/identifier.ts';
import { isNoMember, isOwn, qualified, readRecords } from './catalog.ts';
import { address, type IsCopied, type Item } from './item.ts';

/** Values of so many sequences are read by one query: enough to make round trips cheap, few enough for the parser. */
const sequencesPerQueryMax = 500;

export interface Sequences {
  readonly items: readonly Item[];
  /** What stands in the brackets of `GENERATED ... AS IDENTITY (...)`, by `oid of the table/number of the column`. */
  readonly identities: ReadonlyMap<string, string>;
}

/** All sequences with their present values. A value is read at the present, not at the snapshot: never before it. */
export async function readSequences(connection: Connection, isCopied: IsCopied): Promise<Sequences> {
  const records = await readRecords(
    connection,
    {
      oid: 'c.oid',
      name: qualified('n.nspname', 'c.relname'),
      persistence: `case c.relpersistence when 'u' then 'UNLOGGED ' else '' end`,
      type: 'format_type(s.seqtypid, -1)',
      options: `format('INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s %s', s.seqincrement, s.seqmin, s.seqmax,
        s.seqstart, s.seqcache, case when s.seqcycle then 'CYCLE' else 'NO CYCLE' end)`,
      isIdentity: `coalesce(d.deptype = 'i', false)`,
      table: `coalesce(d.refobjid::text, '')`,
      number: `coalesce(d.refobjsubid::text, '')`,
      owner: `coalesce((select format('%I.%I.%I', tn.nspname, t.relname, a.attname) from pg_class t
        join pg_namespace tn on tn.oid = t.relnamespace join pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
        where t.oid = d.refobjid), '')`,
    },
    `from pg_class c
       join pg_namespace n on n.oid = c.relnamespace
       join pg_sequence s on s.seqrelid = c.oid
       left join pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.objsubid = 0
         and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjsubid > 0 and d.deptype in ('a', 'i')
     where c.relkind = 'S' and c.relpersistence <> 't' and ${isOwn('pg_class', 'c', 'n.oid')}
       and (d.refobjid is null or ${isNoMember('pg_class', 'd.refobjid')})
     order by c.oid`,
  );
  const wanted = records.filter(({ isIdentity, table }) => isIdentity === 'false' || isCopied(table));
  const values = await readValues(connection, wanted);
  return {
    items: wanted.flatMap((record) => items(record, isCopied(record.table), values.get(record.oid) ?? '1, false')),
    identities: new Map(
      wanted
        .filter(({ isIdentity }) => isIdentity === 'true')
        .map(({ table, number, name, options }) => [`${table}/${number}`, `SEQUENCE NAME ${name} ${options}`]),
    ),
  };
}

type Sequence = Readonly<
  Record<'oid' | 'name' | 'persistence' | 'type' | 'options' | 'isIdentity' | 'table' | 'owner', string>
>;

function items(sequence: Sequence, isOwnerCopied: boolean, value: string): Item[] {
  const { oid, name, persistence, type, options, table, owner } = sequence;
  const self = address('relation', oid);
  const setval: Item = {
    id: address('relation', oid, 'setval'),
    kind: 'setval',
    object: `value of sequence ${name}`,
    sql: `SELECT pg_catalog.setval(${quoteLiteral(name)}, ${value})`,
    of: self,
  };
  if (sequence.isIdentity === 'true') return [setval];
  const create: Item = {
    id: self,
    kind: 'sequence',
    object: `sequence ${name}`,
    sql: `CREATE ${persistence}SEQUENCE ${name} AS ${type} ${options}`,
    onlyIfNeeded: table !== '' && !isOwnerCopied,
  };
  const ownedBy: Item = {
    id: address('relation', oid, 'owned by'),
    kind: 'ownedBy',
    object: `owner of sequence ${name}`,
    sql: `ALTER SEQUENCE ${name} OWNED BY ${owner}`,
    of: self,
    needs: [address('relation', table)],
  };
  return isOwnerCopied ? [create, ownedBy, setval] : [create, setval];
}

/** `5, true`: the last value, and whether it was handed out. pg_sequence_last_value() would not tell a value that was set but
 *  not handed out yet (invariant 11), so the sequences themselves are asked. */
async function readValues(
  connection: Connection,
  sequences: readonly Pick<Sequence, 'oid' | 'name'>[],
): Promise<ReadonlyMap<string, string>> {
  const values = new Map<string, string>();
  for (let at = 0; at < sequences.length; at += sequencesPerQueryMax) {
    const union = sequences
      .slice(at, at + sequencesPerQueryMax)
      .map(({ oid, name }) => `select ${oid}::text as oid, last_value || ', ' || is_called as value from ${name}`);
    const read = await readRecords(connection, { oid: 'oid', value: 'value' }, `from (${union.join(' union all ')}) v`);
    for (const { oid, value } of read) values.set(oid, value);
  }
  return values;
}
