import type { Change } from '../../change/change.ts';
import type { Position } from '../../change/position.ts';
import type { Table } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { quoteIdentifier } from '../../engine/postgres/identifier.ts';
import { formatLsn, type Lsn, lsn, timelineOf } from '../../engine/postgres/lsn.ts';
import { ChangeoverError } from '../../error.ts';
import { Assembly } from './assemble.ts';
import { isDdlMessage } from './ddl/reader.ts';
import { decodeMessage } from './pgoutput.ts';
import { Relations } from './relations.ts';
import { commitOf, isBegin } from './standing.ts';
import { WalStream } from './wal.ts';

const pieceBytesMax = 1024 * 1024;

export interface CatchUpOptions {
  /** For the catalog, and for the mark that ends the reading. */
  readonly control: Connection;
  /** Taken over for good. */
  readonly walsender: Connection;
  readonly slot: string;
  readonly publication: string;
  readonly after: Position;
  /** Where a snapshot stands: it shows what committed before. */
  readonly upTo: Lsn;
  readonly wanted: (table: Table) => boolean;
  readonly silenceMsMax: number;
}

export interface CaughtUp {
  readonly changes: readonly Change[];
  /** The end of the last whole transaction in it. Undefined: it is in the middle of one. */
  readonly end: Position | undefined;
}

/** The changes of some tables between a position and a later snapshot, in pieces. Acknowledges nothing. */
export async function* catchUp(options: CatchUpOptions): AsyncGenerator<CaughtUp> {
  const { control, walsender, slot, publication, after, upTo, wanted, silenceMsMax } = options;
  // Something must commit behind the snapshot, or nobody can tell that nothing more comes before it.
  await control.rows(`SELECT pg_catalog.pg_logical_emit_message(true, 'changeover', 'copy')`);
  using wal = new WalStream(walsender, { silenceMsMax });
  await wal.start(
    `START_REPLICATION SLOT ${quoteIdentifier(slot)} LOGICAL ${formatLsn(lsn(after.order))} ` +
      `(proto_version '1', publication_names '${quoteIdentifier(publication)}', messages 'true')`,
  );
  const relations = new Relations(control, slot);
  const assembly = new Assembly({
    system: after.origin,
    timeline: timelineOf(after),
    after,
    batchBytesMax: pieceBytesMax,
    pieceBytesMax,
    wanted: (table) => relations.carries(table) && wanted(table),
  });
  let transaction = 0n;
  for (let isOver = false; !isOver; ) {
    for (const { bytes, at, end } of await wal.take()) {
      isOver ||= isBegin(bytes, at) && commitOf(bytes, at) >= upTo;
      if (isOver) break;
      const message = decodeMessage(bytes, at, end, relations.of);
      if (message.kind === 'begin') transaction = message.transaction;
      if (message.kind === 'relation') await relations.announce(message, transaction);
      else if (message.kind === 'type') relations.nameType(message);
      else if (isDdlMessage(message))
        throw new ChangeoverError('SOURCE_UNSUITABLE', 'The schema changed at the primary while the copy stood still', {
          hint: 'Nothing was passed over. Begin the copy anew: changeover replicate --restart.',
        });
      // The stream's own messages come to nobody before the copy is whole; and none of them may pass for one of the copy's.
      else if (message.kind !== 'logical message') assembly.add(message);
    }
    for (const { batch } of assembly.take()) yield { changes: batch.changes, end: batch.end };
  }
}
