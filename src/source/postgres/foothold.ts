import type { Rows } from '../../change/change.ts';
import { type Table, tableName } from '../../change/table.ts';
import { type Connection, type ConnectOptions, connect } from '../../engine/postgres/connect.ts';
import { positionOf } from '../../engine/postgres/lsn.ts';
import { openSnapshot } from '../../engine/postgres/snapshot.ts';
import { Wire } from '../../engine/postgres/wire.ts';
import { assert } from '../../error.ts';
import { pumped } from '../../flow/pumped.ts';
import type { Foothold, FootholdRequest } from '../source.ts';
import { installTriggers } from './ddl/install.ts';
import { cutOf, type Excerpts } from './excerpt.ts';
import { proveInPast, readHistory } from './history.ts';
import { passingName } from './names.ts';
import { ensurePublication } from './publication.ts';
import { readSchema } from './schema/read.ts';
import {
  allowFailover,
  backendOf,
  createPassingSlot,
  dropSlot,
  endBackend,
  keepSlot,
  proveNotBehind,
  slotState,
} from './slot.ts';
import { copyOut } from './snapshot.ts';
import { replicatedTables } from './tables.ts';
import { sourceView } from './view.ts';

export interface FootholdOptions extends FootholdRequest {
  readonly connecting: ConnectOptions;
  readonly slot: string;
  readonly publication: string;
  readonly wanted: (table: { schema: string; name: string }) => boolean;
  readonly excerpts: Excerpts | undefined;
}

/** An abort is prompt, also where the server does not answer. */
const endMsMax = 1000;
const aheadBytesMax = 2 * 1024 * 1024;

/** As `SourceInspector.foothold`. What stands at the position is what a slot for passing use exported. */
export async function takeFoothold(options: FootholdOptions, signal: AbortSignal): Promise<Foothold> {
  const { connecting, slot, publication, wanted, excerpts, after, lasting } = options;
  const open = (replication = false): Promise<Connection> => connect({ ...connecting, replication }, signal);
  await using opened = new AsyncDisposableStack();
  const control = opened.use(await open());
  const walsender = opened.use(await open(true));
  const history = await readHistory(walsender);
  proveInPast(after, history);
  proveNotBehind(after, history);
  if (lasting) {
    await installTriggers(control, { slot, publication });
    await ensurePublication(control, publication, { wanted, excerpts });
  }
  const backend = await backendOf(walsender);
  const passing = passingName(backend);
  const { consistentPoint, snapshot } = await createPassingSlot(walsender, passing).catch(async (error: unknown) => {
    // The server waits there for transactions that are open, and does not look whether we are still there.
    if (signal.aborted) await endBackend(() => connect(connecting, AbortSignal.timeout(endMsMax)), backend);
    throw error;
  });
  const enter = (): Promise<Connection> => openSnapshot(connecting, snapshot, signal);
  const view = opened.use(await sourceView({ connection: await enter(), wanted, excerpts }));
  const owned = opened.move();
  return {
    position: positionOf(history.system, consistentPoint, history.timeline),
    view,
    async schema() {
      await using connection = await enter();
      return await readSchema(connection, wanted);
    },
    rows: (table, inner) => rowsOf(table, { enter, excerpts }, inner),
    async keep() {
      assert(lasting, 'A foothold that was taken only to look');
      await dropSlot(control, slot);
      await keepSlot(control, passing, slot);
      // The exported snapshot lives while the connection that made it does nothing else.
      await using other = await open(true);
      if ((await slotState(control, slot))?.isFailover === false) await allowFailover(other, slot);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Reaching {
  readonly enter: () => Promise<Connection>;
  readonly excerpts: Excerpts | undefined;
}

async function* rowsOf(table: Table, { enter, excerpts }: Reaching, signal: AbortSignal): AsyncGenerator<Rows> {
  await using connection = await enter();
  const [whole] = await replicatedTables(
    connection,
    ({ schema, name }) => schema === table.schema && name === table.name,
  );
  assert(whole !== undefined, `${tableName(table)} is not there`);
  const cut = cutOf(whole, excerpts);
  const chunk = { table: cut.table, from: undefined, to: undefined, bytes: 0 };
  const blocks = pumped<Rows>(
    {
      produce: (give) => copyOut(new Wire(connection), chunk, { cut, give: (rows) => give(rows, rows.block.length) }),
      bytesMax: aheadBytesMax,
      takeBytesMax: aheadBytesMax,
    },
    signal,
  );
  for await (const some of blocks) yield* some;
}
