import type { Connection } from '../../engine/postgres/connect.ts';
import { enterSnapshot } from '../../engine/postgres/snapshot.ts';
import { isCode } from '../../error.ts';

export interface ReadersOptions {
  readonly open: (signal: AbortSignal) => Promise<Connection>;
  /** The name of an exported snapshot that lives. */
  readonly snapshot: string;
  /** At the most; at least one. */
  readonly count: number;
}

export interface Readers extends AsyncDisposable {
  readonly reading: readonly [Connection, ...Connection[]];
}

/** Connections that all see the same snapshot. Fewer than asked for where the server has no room for more: one is enough. */
export async function openReaders({ open, snapshot, count }: ReadersOptions, signal: AbortSignal): Promise<Readers> {
  await using opened = new AsyncDisposableStack();
  const enter = async (): Promise<Connection> => {
    const connection = opened.use(await open(signal));
    await enterSnapshot(connection, snapshot);
    return connection;
  };
  const reading: [Connection, ...Connection[]] = [await enter()];
  try {
    while (reading.length < count) reading.push(await enter());
  } catch (error) {
    if (!isCode(error, 'SOURCE_BUSY')) throw error;
  }
  const owned = opened.move();
  return { reading, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
