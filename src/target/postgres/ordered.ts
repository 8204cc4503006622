import type { Change, RowChange, Update } from '../../change/change.ts';
import { type Cell, cells, fillUnchanged, hasUnchanged, type Row } from '../../change/row.ts';
import { ChangeoverError, unreachable } from '../../error.ts';
import { parameters } from './copy-text.ts';
import type { Plan } from './plan.ts';
import type { Plans } from './plans.ts';
import type { Session, Ticket } from './session.ts';

/** A statement that must find its row, and the table it looks in. */
export interface Search {
  readonly ticket: Ticket;
  readonly table: string;
}

/** True when each found its row, false when one is missing. Throws TARGET_TABLE_DIFFERS when one touched more: what is a key at the
 *  primary is not unique here. */
export function foundAll(searches: readonly Search[], counts: readonly number[]): boolean {
  const wrong = searches.filter(({ ticket }) => counts[ticket] !== 1);
  for (const { ticket, table } of wrong) {
    if (counts[ticket] !== 0)
      throw new ChangeoverError(
        'TARGET_TABLE_DIFFERS',
        `${counts[ticket]} rows of ${table} have a key that only one may have`,
      );
  }
  return wrong.length === 0;
}

/** Sends row changes one by one, in their order, without waiting for their answers, behind a savepoint. Gives those that must each
 *  find a row: where one does not, `writeCarefully` does it all again. */
export async function sendOrdered(
  session: Session,
  changes: readonly RowChange[],
  plans: Plans,
): Promise<readonly Search[]> {
  await plans.lookUp(changes);
  const searches: Search[] = [];
  await session.run('SAVEPOINT ordered');
  for (const change of changes) {
    const plan = plans.known(change.table);
    const ticket = await send(session, plan, change);
    if (change.kind !== 'insert') searches.push({ ticket, table: plan.name });
  }
  return searches;
}

async function send(session: Session, plan: Plan, change: RowChange): Promise<Ticket> {
  switch (change.kind) {
    case 'insert':
      return session.execute(plan.insert, parameters(change.after, plan.places));
    case 'delete':
      return session.execute(plan.remove, parameters(change.before, plan.identifying));
    case 'update': {
      if (mustReplace(plan, change)) return sendReplacement(session, plan, change);
      const places = changedPlaces(plan, change.after);
      return session.execute(plan.update(places), [
        ...parameters(change.after, writable(plan, places)),
        ...parameters(change.before ?? change.after, plan.identifying),
        ...parameters(change.after, plan.fixedPlaces),
      ]);
    }
    default:
      return unreachable(change);
  }
}

function sendReplacement(session: Session, plan: Plan, { before, after }: Update): Promise<Ticket> {
  const places = changedPlaces(plan, after);
  const values = [...parameters(after, places), ...parameters(before ?? after, plan.identifying)];
  return session.execute(plan.replace(places), values);
}

/** An identity column GENERATED ALWAYS can be inserted but not updated. Of one that is no key we know the former value only where
 *  the row was sent whole. */
function mustReplace(plan: Plan, { table, before, after }: Update): boolean {
  const always = plan.columns.filter((column) => column.always && (column.key || table.identity === 'full'));
  if (!before || always.length === 0) return false;
  const [was, is] = [[...cells(before)], [...cells(after)]];
  return always.some(({ place }) => !isEqual(was[place], is[place]));
}

const isEqual = (a: Cell | undefined, b: Cell | undefined): boolean =>
  Buffer.isBuffer(a) && Buffer.isBuffer(b) ? a.equals(b) : a === b;

const writable = (plan: Plan, places: readonly number[]): number[] =>
  plan.columns.filter((column) => !column.always && places.includes(column.place)).map((column) => column.place);

/** The places that the source sent a value for. */
export function changedPlaces(plan: Plan, row: Row): readonly number[] {
  if (!hasUnchanged(row)) return plan.places;
  const sent = [...cells(row)].map((cell) => cell !== 'unchanged');
  return plan.places.filter((place) => sent[place]);
}

/** Takes back what was sent since the savepoint and writes it again, waiting for each: slow, and able to mend. A row that should be
 *  there and is not is drift: an update writes the source's row, a delete has nothing left to do. Returns how many had drifted.
 *  Throws TARGET_DRIFT when a missing row cannot be rebuilt. */
export async function writeCarefully(session: Session, changes: readonly RowChange[], plans: Plans): Promise<number> {
  let drifted = 0;
  const found = async (plan: Plan, ticket: Ticket): Promise<boolean> =>
    foundAll([{ ticket, table: plan.name }], await session.settle('Applying changes'));
  await session.run('ROLLBACK TO SAVEPOINT ordered');
  for (const change of changes) {
    const plan = await plans.of(change.table);
    await session.settle('Applying changes');
    if ((await found(plan, await send(session, plan, change))) || change.kind === 'insert') continue;
    if (change.kind === 'update' && plan.fixedPlaces.length > 0) {
      // The row may be there with another value in a fixed column.
      if (await found(plan, await sendReplacement(session, plan, change))) continue;
    }
    drifted += 1;
    if (change.kind === 'delete') continue;
    const whole = change.before && change.table.identity === 'full';
    const after = whole ? fillUnchanged(change.after, change.before) : change.after;
    if (hasUnchanged(after)) {
      throw new ChangeoverError(
        'TARGET_DRIFT',
        `A row of ${plan.name} is missing at the secondary, and its update does not hold it whole`,
      );
    }
    await session.execute(plan.insert, parameters(after, plan.places));
  }
  await session.settle('Applying changes');
  return drifted;
}

export const isRowChange = (change: Change): change is RowChange =>
  change.kind === 'insert' || change.kind === 'update' || change.kind === 'delete';
