import type { SchemaStatement } from '../../../change/change.ts';
import type { Connection } from '../../../engine/postgres/connect.ts';
import { readChecks } from './checks.ts';
import { readColumns } from './columns.ts';
import { readComments } from './comments.ts';
import { readConstraints } from './constraints.ts';
import { readDependencies } from './dependencies.ts';
import { readGrants } from './grants.ts';
import { readIdentities, readIndexAttachments, readIndexes, readStatistics } from './indexes.ts';
import type { IsCopied, Item, LeftOut } from './item.ts';
import { readLeftOut } from './left-out.ts';
import { readCollations, readExtensions, readSchemas, readTextSearch } from './namespaces.ts';
import { readOwners } from './owners.ts';
import { plan } from './plan.ts';
import { readPolicies, readRowSecurity } from './policies.ts';
import { readAggregates, readCasts, readOperators, readRoutines } from './routines.ts';
import { readSequences } from './sequences.ts';
import { tableItems } from './table-items.ts';
import { readTables } from './tables.ts';
import { readRules, readTriggers } from './triggers.ts';
import { readComposites, readDomains, readEnums, readRanges } from './types.ts';
import { readMaterializedViews, readViews } from './views.ts';

/** The statements that recreate a database elsewhere, in the order in which they run. */
export interface SchemaScript {
  /** What rows need, and no more: without keys and indexes they are copied faster. */
  readonly beforeRows: readonly SchemaStatement[];
  readonly afterRows: readonly SchemaStatement[];
  /** What will not be there, and why. Neither what belongs to a table that is not wanted (its indexes, its triggers). */
  readonly leftOut: readonly LeftOut[];
}

/** What is read without knowing more than which tables are copied. */
const readers: readonly ((connection: Connection, isCopied: IsCopied) => Promise<readonly Item[]>)[] = [
  readSchemas,
  readExtensions,
  readCollations,
  readTextSearch,
  readEnums,
  readRanges,
  readRoutines,
  readAggregates,
  readOperators,
  readCasts,
  readConstraints,
  readIndexes,
  readIndexAttachments,
  readIdentities,
  readStatistics,
  readMaterializedViews,
  readRules,
  readTriggers,
  readPolicies,
  readRowSecurity,
  readComments,
  readGrants,
  readOwners,
];

/** Reads the catalog of a PostgreSQL 14 to 18: one query per kind of object, none of them writes. The connection has the pinned
 *  settings; it may be in a transaction of any isolation. Tables that are not `wanted` are not created, nor what depends on them.
 *
 *  Every statement makes one object and either does nothing or fails with `already exists` when it is run again.
 *  Not copied: roles, tablespaces, security labels, publications and subscriptions, and what `leftOut` names.
 *
 *  Throws SOURCE_UNREACHABLE, SOURCE_PRIVILEGE; SOURCE_FAILED, to be tried again, when objects vanish while they are read. */
export async function readSchema(
  connection: Connection,
  wanted: (table: { schema: string; name: string }) => boolean,
): Promise<SchemaScript> {
  const dependencies = await readDependencies(connection);
  const tables = await readTables(connection, wanted);
  const isCopied = (table: string): boolean => tables.byOid.has(table);
  const columnsOf = await readColumns(connection);
  const checks = await readChecks(connection);
  const sequences = await readSequences(connection, isCopied);
  const items: Item[] = [
    ...sequences.items,
    ...tableItems({ tables, columnsOf, checks, identities: sequences.identities, dependencies }),
    ...(await readComposites(connection, columnsOf)),
    ...(await readDomains(connection, dependencies)),
    ...(await readViews(connection, columnsOf)),
  ];
  for (const read of readers) items.push(...(await read(connection, isCopied)));
  const planned = plan(items, dependencies);
  return {
    beforeRows: planned.beforeRows,
    afterRows: planned.afterRows,
    leftOut: await readLeftOut(connection, planned),
  };
}
