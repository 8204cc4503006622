import type { Batch } from '../../change/change.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { positionOf } from '../../engine/postgres/lsn.ts';
import { isCode } from '../../error.ts';
import { catchUp } from './catch-up.ts';
import { type History, readHistory } from './history.ts';
import { passingName } from './names.ts';
import type { Opening } from './progress.ts';
import { openReaders } from './readers.ts';
import { backendOf, createPassingSlot, endBackend, proveReachable, type SlotState } from './slot.ts';
import { isFit, type SnapshotOptions, snapshotPieces } from './snapshot.ts';

/** An abort is prompt, also where the server does not answer. */
const endMsMax = 1000;

export interface ResumeOptions {
  readonly opening: Opening;
  readonly open: (signal: AbortSignal, replication?: boolean) => Promise<Connection>;
  readonly control: Connection;
  /** Its slot for passing use lives as long as this connection does nothing else. */
  readonly walsender: Connection;
  readonly slot: string;
  readonly publication: string;
  readonly wanted: (table: { schema: string; name: string }) => boolean;
  readonly copyConnections: number;
  readonly chunkBytes: number | undefined;
  readonly silenceMsMax: number;
}

/** Goes on with a copy that was interrupted, under a later snapshot: the slot still has what happened in between. Yields nothing where
 *  that is not possible: then the copy must begin again. */
export async function* resumedPieces(options: ResumeOptions, signal: AbortSignal): AsyncGenerator<Batch> {
  const { opening, open, control, walsender, slot, publication, wanted, copyConnections, chunkBytes, silenceMsMax } =
    options;
  const { system, timeline } = await readHistory(walsender);
  const backend = await backendOf(walsender);
  const passing = await createPassingSlot(walsender, passingName(backend)).catch(async (error: unknown) => {
    // No slot is free at the primary: beginning again needs none but our own.
    if (isCode(error, 'SOURCE_BUSY')) return undefined;
    // The server waits there for transactions that are open, and does not look whether we are still there.
    if (signal.aborted) await endBackend(() => open(AbortSignal.timeout(endMsMax)), backend);
    throw error;
  });
  if (!passing) return;
  const { consistentPoint, snapshot } = passing;
  await using readers = await openReaders({ open, snapshot, count: copyConnections }, signal);
  const copying: SnapshotOptions = {
    reading: readers.reading,
    at: positionOf(system, consistentPoint, timeline),
    wanted,
    chunkBytes,
    former: {
      opening,
      async *caughtUp(copied) {
        await using stream = await open(signal, true);
        yield* catchUp({
          control,
          walsender: stream,
          slot,
          publication,
          after: opening.at,
          upTo: consistentPoint,
          wanted: (table) => wanted(table) && copied(table),
          silenceMsMax,
        });
      },
    },
  };
  if (await isFit(opening, copying)) yield* snapshotPieces(copying, signal);
}

/** Whether the slot still has all that happened since. */
export function isReachable(
  opening: Opening,
  found: { readonly history: History; readonly slot: SlotState; readonly name: string },
): boolean {
  try {
    proveReachable(opening.at, found);
    return true;
  } catch (error) {
    if (isCode(error, 'SOURCE_SLOT_LOST', 'SOURCE_POSITION_LOST')) return false;
    throw error;
  }
}
