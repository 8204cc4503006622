import type { Connection } from '../../../engine/postgres/connect.ts';
import { quoteLiteral } from '../../../engine/postgres/identifier.ts';
import { isNoPart, isOwn, qualified, readRecords } from './catalog.ts';
import { address, type Item } from './item.ts';

/** The constructors and the cast of a range type come with it. */
const isOwnRoutine = `${isOwn('pg_proc', 'p', 'n.oid')} and ${isNoPart('pg_proc', 'p.oid')}`;
const from = 'from pg_proc p join pg_namespace n on n.oid = p.pronamespace';

/** Functions, procedures and window functions, in any language. */
export async function readRoutines(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 'p.oid',
      name: 'p.oid::regprocedure',
      kind: `case p.prokind when 'p' then 'procedure' else 'function' end`,
      sql: 'pg_get_functiondef(p.oid)',
    },
    `${from} where p.prokind <> 'a' and ${isOwnRoutine}`,
  );
  return records.map(({ oid, name, kind, sql }) => ({
    id: address('routine', oid),
    kind: 'routine',
    object: `${kind} ${name}`,
    sql: sql.replace(/^CREATE OR REPLACE /, 'CREATE ').trimEnd(),
  }));
}

const routineOrNone = (oid: string): string => `case when ${oid} = 0 then '' else ${oid}::regproc::text end`;
const typeOrNone = (oid: string): string => `case when ${oid} = 0 then '' else format_type(${oid}, -1) end`;
const modification = (letter: string): string =>
  `case ${letter} when 's' then 'SHAREABLE' when 'w' then 'READ_WRITE' else 'READ_ONLY' end`;

/** https://www.postgresql.org/docs/current/sql-createaggregate.html: the options by the names that the statement gives them. */
const aggregateOptions = {
  SFUNC: routineOrNone('a.aggtransfn'),
  STYPE: typeOrNone('a.aggtranstype'),
  SSPACE: `nullif(a.aggtransspace, 0)`,
  FINALFUNC: routineOrNone('a.aggfinalfn'),
  FINALFUNC_EXTRA: `case when a.aggfinalextra then 'true' end`,
  FINALFUNC_MODIFY: `case when a.aggfinalfn <> 0 then ${modification('a.aggfinalmodify')} end`,
  COMBINEFUNC: routineOrNone('a.aggcombinefn'),
  SERIALFUNC: routineOrNone('a.aggserialfn'),
  DESERIALFUNC: routineOrNone('a.aggdeserialfn'),
  MSFUNC: routineOrNone('a.aggmtransfn'),
  MINVFUNC: routineOrNone('a.aggminvtransfn'),
  MSTYPE: typeOrNone('a.aggmtranstype'),
  MSSPACE: `nullif(a.aggmtransspace, 0)`,
  MFINALFUNC: routineOrNone('a.aggmfinalfn'),
  MFINALFUNC_EXTRA: `case when a.aggmfinalextra then 'true' end`,
  MFINALFUNC_MODIFY: `case when a.aggmfinalfn <> 0 then ${modification('a.aggmfinalmodify')} end`,
  SORTOP: `(select format('OPERATOR(%I.%s)', sn.nspname, o.oprname) from pg_operator o
    join pg_namespace sn on sn.oid = o.oprnamespace where o.oid = a.aggsortop)`,
  PARALLEL: `case p.proparallel when 's' then 'SAFE' when 'r' then 'RESTRICTED' end`,
} as const;
const optionNames = Object.keys(aggregateOptions) as (keyof typeof aggregateOptions)[];

export async function readAggregates(connection: Connection): Promise<readonly Item[]> {
  const options = Object.fromEntries(
    Object.entries(aggregateOptions).map(([name, sql]) => [name, `coalesce((${sql})::text, '')`]),
  ) as typeof aggregateOptions;
  const records = await readRecords(
    connection,
    {
      oid: 'p.oid',
      name: qualified('n.nspname', 'p.proname'),
      signature: 'p.oid::regprocedure',
      arguments: `coalesce(nullif(pg_get_function_arguments(p.oid), ''), '*')`,
      isHypothetical: `a.aggkind = 'h'`,
      // A value may be empty text: absence needs a mark of its own.
      initial: `coalesce('=' || a.agginitval, '')`,
      movingInitial: `coalesce('=' || a.aggminitval, '')`,
      ...options,
    },
    `${from} join pg_aggregate a on a.aggfnoid = p.oid where ${isOwnRoutine}`,
  );
  return records.map((record) => {
    const list = [
      ...optionNames.filter((name) => record[name] !== '').map((name) => `${name} = ${record[name]}`),
      ...(record.initial ? [`INITCOND = ${quoteLiteral(record.initial.slice(1))}`] : []),
      ...(record.movingInitial ? [`MINITCOND = ${quoteLiteral(record.movingInitial.slice(1))}`] : []),
      ...(record.isHypothetical === 'true' ? ['HYPOTHETICAL'] : []),
    ];
    return {
      id: address('routine', record.oid),
      kind: 'routine',
      object: `aggregate ${record.signature}`,
      sql: `CREATE AGGREGATE ${record.name}(${record.arguments}) (${list.join(', ')})`,
    };
  });
}

/** An operator that names a commutator or negator which does not exist yet makes an empty one, filled by the later statement. */
export async function readOperators(connection: Connection): Promise<readonly Item[]> {
  const operator = (oid: string): string => `coalesce((select format('OPERATOR(%I.%s)', xn.nspname, x.oprname)
    from pg_operator x join pg_namespace xn on xn.oid = x.oprnamespace where x.oid = ${oid}), '')`;
  const records = await readRecords(
    connection,
    {
      oid: 'o.oid',
      name: `format('%I.%s', n.nspname, o.oprname)`,
      signature: 'o.oid::regoperator',
      FUNCTION: 'o.oprcode::regproc',
      LEFTARG: typeOrNone('o.oprleft'),
      RIGHTARG: typeOrNone('o.oprright'),
      COMMUTATOR: operator('o.oprcom'),
      NEGATOR: operator('o.oprnegate'),
      RESTRICT: routineOrNone('o.oprrest'),
      JOIN: routineOrNone('o.oprjoin'),
      hashes: 'o.oprcanhash',
      merges: 'o.oprcanmerge',
    },
    `from pg_operator o join pg_namespace n on n.oid = o.oprnamespace
     where o.oprcode <> 0 and ${isOwn('pg_operator', 'o', 'n.oid')}`,
  );
  const names = ['FUNCTION', 'LEFTARG', 'RIGHTARG', 'COMMUTATOR', 'NEGATOR', 'RESTRICT', 'JOIN'] as const;
  return records.map((record) => {
    const options = [
      ...names.filter((name) => record[name] !== '').map((name) => `${name} = ${record[name]}`),
      ...(record.hashes === 'true' ? ['HASHES'] : []),
      ...(record.merges === 'true' ? ['MERGES'] : []),
    ];
    return {
      id: address('operator', record.oid),
      kind: 'operator',
      object: `operator ${record.signature}`,
      sql: `CREATE OPERATOR ${record.name} (${options.join(', ')})`,
    };
  });
}

export async function readCasts(connection: Connection): Promise<readonly Item[]> {
  const records = await readRecords(
    connection,
    {
      oid: 'c.oid',
      name: `format('(%s AS %s)', format_type(c.castsource, -1), format_type(c.casttarget, -1))`,
      method: `case c.castmethod when 'f' then 'WITH FUNCTION ' || c.castfunc::regprocedure
        when 'i' then 'WITH INOUT' else 'WITHOUT FUNCTION' end`,
      context: `case c.castcontext when 'a' then ' AS ASSIGNMENT' when 'i' then ' AS IMPLICIT' else '' end`,
    },
    `from pg_cast c where ${isOwn('pg_cast', 'c')} and ${isNoPart('pg_cast', 'c.oid')}`,
  );
  return records.map(({ oid, name, method, context }) => ({
    id: address('cast', oid),
    kind: 'cast',
    object: `cast ${name}`,
    sql: `CREATE CAST ${name} ${method}${context}`,
  }));
}
