import type { Found } from '../../../engine/postgres/access.ts';
import type { LeftOut } from '../schema/item.ts';

/** More lines than this nobody reads. */
const namedMax = 20;

/** What a copy will not bring, for whoever counts on the secondary being all that the primary is. */
export function checkLeftOut(leftOut: readonly LeftOut[]): Found[] {
  const notes = leftOut.slice(0, namedMax).map(
    ({ object, reason }): Found => ({
      severity: 'note',
      check: 'left-out',
      message: `Not made at the secondary: ${object} (${reason})`,
    }),
  );
  const more = leftOut.length - notes.length;
  if (more > 0)
    notes.push({ severity: 'note', check: 'left-out', message: `Not made at the secondary: ${more} objects more` });
  return notes;
}
