import type { SequenceValue } from '../../change/control.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteLiteral } from '../../engine/postgres/identifier.ts';

/** So many are asked by one query. */
const sequencesPerQueryMax = 500;

const namesSql = `
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'changeover')
 ORDER BY 1`;

export const sequenceNames = async (connection: Connection): Promise<readonly string[]> =>
  (await connection.rows(namesSql)).map(([name]) => name ?? '');

/** Of every sequence what it handed out last. Values that sessions keep in their cache are counted as handed out. */
export async function readSequences(connection: Connection): Promise<Readonly<Record<string, SequenceValue>>> {
  const names = await sequenceNames(connection);
  const values: Record<string, SequenceValue> = {};
  for (let at = 0; at < names.length; at += sequencesPerQueryMax) {
    const union = names
      .slice(at, at + sequencesPerQueryMax)
      .map((name) => `SELECT ${quoteLiteral(name)}, last_value, is_called FROM ${name}`);
    for (const [name, last, called] of await connection.rows(union.join(' UNION ALL ')))
      values[name ?? ''] = { last: last ?? '', called: called === 't' };
  }
  return values;
}

interface Raising {
  readonly values: Readonly<Record<string, SequenceValue>>;
  readonly beyond: number;
}

/** As `Helm.raise`. A sequence that counts down is raised downwards; none beyond the last value that it may have. */
export async function raiseSequences(connection: Connection, { values, beyond }: Raising): Promise<number> {
  const present = await readSequences(connection);
  for (const [name, here] of Object.entries(present)) {
    const [facts] = await connection.rows(factsSql, [name]);
    const [increment = '1', least = '', most = '', column] = facts ?? [];
    const step = BigInt(increment ?? '1');
    const isFurther = (a: bigint, b: bigint): boolean => (step > 0n ? a > b : a < b);
    const given = values[name];
    let at: SequenceValue = here;
    for (const other of [given, beyond > 0 ? await extreme(connection, column, step) : undefined])
      if (other && (isFurther(BigInt(other.last), BigInt(at.last)) || (other.last === at.last && other.called)))
        at = other;
    const end = BigInt((step > 0n ? most : least) ?? '0');
    const wanted = BigInt(at.last) + BigInt(beyond) * step;
    const last = isFurther(wanted, end) ? end : wanted;
    await connection.rows('SELECT setval($1::regclass, $2::bigint, $3::boolean)', [
      name,
      String(last),
      String(at.called || beyond > 0),
    ]);
  }
  return Object.keys(present).length;
}

const factsSql = `
SELECT s.seqincrement, s.seqmin, s.seqmax, (SELECT format('%I FROM %s', a.attname, d.refobjid::regclass)
    FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
   WHERE d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
     AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype))
  FROM pg_sequence s WHERE s.seqrelid = $1::regclass`;

/** What of a sequence is in the column that it belongs to. */
async function extreme(
  connection: Connection,
  column: string | null | undefined,
  step: bigint,
): Promise<SequenceValue | undefined> {
  if (!column) return undefined;
  const [name = '', table = ''] = column.split(/ FROM (.*)/s);
  const [row] = await connection.rows(`SELECT ${step > 0n ? 'max' : 'min'}(${name}) FROM ${table}`);
  return row?.[0] ? { last: row[0], called: true } : undefined;
}
