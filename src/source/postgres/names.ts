import { ChangeoverError } from '../../error.ts';

/** The slot and the publication of a lane. Throws CONFIG_INVALID for a lane name that PostgreSQL would not take in a slot's name.
 *  https://www.postgresql.org/docs/current/warm-standby.html (Querying and Manipulating Replication Slots) */
export function namesOf(lane: string): { readonly slot: string; readonly publication: string } {
  const name = `changeover_${lane}`;
  if (!/^[a-z0-9_]+$/.test(lane) || name.length > 63) {
    throw new ChangeoverError('CONFIG_INVALID', `The name ${JSON.stringify(lane)} cannot name a replication slot`, {
      hint: 'Use lower-case letters, digits and underscores, at most 52 of them.',
    });
  }
  return { slot: name, publication: name };
}

/** A slot for one passing use, by the server's process that holds it. */
export const passingName = (backend: string): string => `changeover_copy_${backend}`;
