import type { Connection } from '../../../engine/postgres/connect.ts';
import { assert } from '../../../error.ts';
import { readRecords } from './catalog.ts';
import { type Address, firstOwnOid, isIn } from './item.ts';

/** How an object depends, in pg_depend's letters: `n` normal, `a` automatic, `i` internal, `e` member of an extension,
 *  `x` marked as depending on an extension, `P` and `S` primary and secondary of a partition's object.
 *  https://www.postgresql.org/docs/current/catalog-pg-depend.html */
export interface Dependency {
  readonly type: string;
  readonly on: Address;
}

/** pg_depend among what users made; columns are folded into their tables. */
export interface Dependencies {
  of(at: Address): readonly Dependency[];
  all(): Iterable<readonly [Address, readonly Dependency[]]>;
}

export async function readDependencies(connection: Connection): Promise<Dependencies> {
  const records = await readRecords(
    connection,
    {
      from: `d.classid || '/' || d.objid`,
      on: `string_agg(distinct d.deptype::text || (d.refclassid || '/' || d.refobjid), ' ')`,
    },
    // With columns folded into it, a table may depend on itself. NOT NULL constraints are the most, and say nothing.
    `from pg_depend d left join pg_constraint k on d.classid = 'pg_catalog.pg_constraint'::regclass and k.oid = d.objid
     where d.objid >= ${firstOwnOid} and d.refobjid >= ${firstOwnOid} and d.objid <> d.refobjid and k.contype is distinct from 'n'
     group by d.classid, d.objid`,
  );
  return dependenciesOf(new Map(records.map((record) => [record.from, record.on])));
}

/** From `address -> 'n1259/16400 e3079/16390'`: kept as text, since most are looked at once. */
export function dependenciesOf(edges: ReadonlyMap<Address, string>): Dependencies {
  const parse = (text: string): Dependency[] =>
    text.split(' ').map((word) => ({ type: word.slice(0, 1), on: word.slice(1) }));
  const of = (at: Address): Dependency[] => {
    const text = edges.get(at);
    return text === undefined ? [] : parse(text);
  };
  return {
    of,
    *all() {
      for (const [at, text] of edges) yield [at, parse(text)] as const;
    },
  };
}

/** Whether an expression calls what a user wrote: such code may in turn need the table that the expression belongs to, so the
 *  expression is set by a statement of its own. */
export function callsOwnCode(dependencies: Dependencies, at: Address): boolean {
  return dependencies
    .of(at)
    .some(
      ({ on }) =>
        (isIn('routine', on) || isIn('operator', on)) && !dependencies.of(on).some(({ type }) => 'ei'.includes(type)),
    );
}

/** More than any chain of parts in a catalog, such as array, row type, table. */
const stepsMax = 100;

/** The item that brings an object into being: itself, else the extension or object that it is a part of.
 *  Undefined: no item does. */
export function maker(dependencies: Dependencies, isItem: (at: Address) => boolean, at: Address): Address | undefined {
  let current: Address | undefined = at;
  for (let steps = 0; current !== undefined && !isItem(current); steps += 1) {
    assert(steps < stepsMax, `${at} is a part of itself`);
    current = wholeOf(dependencies, current);
  }
  return current;
}

function wholeOf(dependencies: Dependencies, at: Address): Address | undefined {
  const edges = dependencies.of(at);
  const first = (type: string): Dependency | undefined => edges.find((edge) => edge.type === type);
  // A default, check or rule that has no statement of its own is written with its table. A partition's copy of its parent's
  // foreign key is not: the parent's statement makes it.
  const isWritten = (isIn('default', at) || isIn('constraint', at) || isIn('rule', at)) && first('P') === undefined;
  return (first('e') ?? first('i') ?? (isWritten ? first('a') : undefined))?.on;
}
