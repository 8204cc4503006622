import type { Connection } from '../../../engine/postgres/connect.ts';
import { groupBy, readRecords } from './catalog.ts';

/** A CHECK of a table. `isInherited`: there only because a parent has it. */
export type Check = Readonly<Record<'oid' | 'table' | 'name' | 'definition' | 'isLocal' | 'isSettled', string>>;

/** CHECK constraints by the oid of their table. `isSettled`: every row keeps to it; one that is NOT VALID or NOT ENFORCED may
 *  be broken by rows that are there. */
export async function readChecks(connection: Connection): Promise<ReadonlyMap<string, readonly Check[]>> {
  const checks: readonly Check[] = await readRecords(
    connection,
    {
      oid: 'k.oid',
      table: 'k.conrelid',
      name: 'quote_ident(k.conname)',
      definition: 'pg_get_constraintdef(k.oid)',
      isLocal: 'k.conislocal',
      isSettled: 'k.convalidated',
    },
    `from pg_constraint k where k.contype = 'c' and k.conrelid <> 0 order by k.conname`,
  );
  return groupBy(checks, (check) => check.table);
}
