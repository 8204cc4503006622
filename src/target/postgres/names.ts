import { createHash } from 'node:crypto';

/** The advisory lock that the writer of a lane holds: stable for ever, and unlikely to be anybody else's number.
 *  https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS */
export const lockKey = (lane: string): bigint =>
  createHash('sha256').update(`changeover lane ${lane}`).digest().readBigInt64BE(0);
