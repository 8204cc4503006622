import type { Check } from './checks.ts';
import type { CatalogColumn, ColumnsOf } from './columns.ts';
import type { Dependencies } from './dependencies.ts';
import { type Address, address } from './item.ts';
import type { CatalogTable, Tables } from './tables.ts';

/** All that was read about tables. */
export interface TableParts {
  readonly tables: Tables;
  readonly columnsOf: ColumnsOf;
  readonly checks: ReadonlyMap<string, readonly Check[]>;
  /** Sequence options by `oid of the table/number of the column`. */
  readonly identities: ReadonlyMap<string, string>;
  readonly dependencies: Dependencies;
}

/** One table amid its parts. */
export interface Subject extends TableParts {
  readonly table: CatalogTable;
  readonly self: Address;
  readonly own: readonly CatalogColumn[];
  /** The parents that are copied too. */
  readonly parents: readonly CatalogTable[];
  /** True: made without help of its parents, everything in it is written. A partition is attached afterwards. */
  readonly standsAlone: boolean;
}

export function subjectOf(parts: TableParts, table: CatalogTable): Subject {
  const known = parts.tables.parents.get(table.oid) ?? [];
  const parents = known.map((oid) => parts.tables.byOid.get(oid)).filter((parent) => parent !== undefined);
  return {
    ...parts,
    table,
    self: address('relation', table.oid),
    own: parts.columnsOf(table.oid),
    parents,
    standsAlone: table.isPartition === 'true' || parents.length < known.length || parents.length === 0,
  };
}

/** A column that a parent brings is not written again: to be written makes it the child's own, and a DROP COLUMN at the
 *  parent would no longer take it along. */
export const isWritten = (subject: Subject, column: CatalogColumn): boolean =>
  subject.standsAlone || !column.inherited || column.identity !== undefined;

/** The first parent that brings the column into the new table, and the column there. */
export function broughtFrom(subject: Subject, column: CatalogColumn): [CatalogTable?, CatalogColumn?] {
  if (subject.standsAlone) return [];
  for (const parent of subject.parents) {
    const same = subject.columnsOf(parent.oid).find((candidate) => candidate.name === column.name);
    if (same) return [parent, same];
  }
  return [];
}
