import type { Position } from '../change/position.ts';
import { tableName } from '../change/table.ts';
import type { Carried } from '../change/view.ts';
import { ChangeoverError } from '../error.ts';
import { type ColumnDifference, type Compared, columnsOf, compare } from './compare.ts';
import type { Difference } from './difference.ts';
import type { Sides } from './sides.ts';
import { openStand, type Stand } from './stand.ts';

export interface VerifyOptions {
  readonly wanted: (table: { readonly schema: string; readonly name: string }) => boolean;
  /** How long both sides may take to come to one position. */
  readonly timeoutMs: number;
  /** A stand holds vacuum back on both sides: after so long, the next table is looked at from a new one. Default a minute. */
  readonly standMsMax?: number;
}

/** What became of one table. */
export type TableVerdict =
  | (Place & {
      readonly verdict: 'equal' | 'differs';
      readonly found: Compared;
      readonly columns: readonly ColumnDifference[];
    })
  | (Place & { readonly verdict: 'not checked'; readonly why: string });

interface Place {
  readonly carried: Carried;
  /** How many tables are carried in all, looked at or not. */
  readonly of: number;
  readonly position: Position;
  readonly atMs: number;
}

/** Of so many rows it is told which columns differ. */
const shownMax = 20;

/** Compares the tables of both sides, one after the other, each at one exact position of both (invariant 12). Nothing is locked and the
 *  stream goes on. Throws VERIFY_NO_STAND, VERIFY_REFUSED: then nothing is said of what was not reached. */
export async function* verify(sides: Sides, options: VerifyOptions, signal: AbortSignal): AsyncGenerator<TableVerdict> {
  const { wanted, standMsMax = 60_000 } = options;
  let stand = await openStand(sides, options, signal);
  try {
    const all = await stand.source.tables();
    for (const first of all.filter(({ table }) => wanted(table))) {
      let carried: Carried | undefined = first;
      if (Date.now() - stand.atMs > standMsMax) {
        await stand[Symbol.asyncDispose]();
        stand = await openStand(sides, options, signal);
        // It may have another shape by now, or be gone.
        const name = tableName(first.table);
        carried = (await stand.source.tables()).find(({ table }) => tableName(table) === name);
      }
      if (carried) yield await verdictOn(stand, { carried, of: all.length }, signal);
    }
  } finally {
    await stand[Symbol.asyncDispose]();
  }
}

async function verdictOn(
  stand: Stand,
  { carried, of }: Pick<Place, 'carried' | 'of'>,
  signal: AbortSignal,
): Promise<TableVerdict> {
  const place = { carried, of, position: stand.position, atMs: stand.atMs };
  const why = stand.setAside.get(tableName(carried.table));
  if (why !== undefined) return { ...place, verdict: 'not checked', why };
  try {
    const found = await compare(stand, carried);
    const isEqual = found.lacks === undefined && found.differences.length === 0 && found.isAll;
    if (isEqual) return { ...place, verdict: 'equal', found, columns: [] };
    const keys = found.differences.filter(isChanged).slice(0, shownMax);
    const columns = await columnsOf(
      stand,
      carried,
      keys.map(({ key }) => key),
    );
    return { ...place, verdict: 'differs', found, columns };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ChangeoverError) || error.action === 'retry') throw error;
    return { ...place, verdict: 'not checked', why: `${error.code} ${error.message}` };
  }
}

const isChanged = ({ kind }: Difference): boolean => kind === 'different';
