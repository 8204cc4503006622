import type { Connection } from '../../engine/postgres/connect.ts';
import { ChangeoverError } from '../../error.ts';
import type { Wanted } from './coverage.ts';
import { installTriggers } from './ddl/install.ts';
import type { Excerpts } from './excerpt.ts';
import { ensurePublication } from './publication.ts';
import { slotState } from './slot.ts';

export interface ArmOptions {
  readonly slot: string;
  readonly publication: string;
  readonly wanted: Wanted;
  readonly excerpts: Excerpts | undefined;
}

/** As `SourceInspector.arm`. The slot comes last, and waits for the transactions that are open: what is committed once it stands, is in it.
 *  Throws SOURCE_SLOT_BUSY. */
export async function arm(connection: Connection, { slot, publication, wanted, excerpts }: ArmOptions): Promise<void> {
  const leftover = await slotState(connection, slot);
  if (leftover?.activePid !== undefined)
    throw new ChangeoverError('SOURCE_SLOT_BUSY', `Slot ${slot} is being read at a site that does not lead`);
  if (leftover) await connection.rows('SELECT pg_catalog.pg_drop_replication_slot($1)', [slot]);
  await installTriggers(connection, { slot, publication });
  await ensurePublication(connection, publication, { wanted, excerpts });
  await connection.rows(`SELECT pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
}
