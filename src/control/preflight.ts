import { ChangeoverError } from '../error.ts';
import type { Finding } from '../finding.ts';
import type { Lane } from './lane.ts';

/** Asks both sides, and what is between them, everything that would keep replication from starting or from being right. A site that cannot be asked is a
 *  finding like any other: the other sites' findings are wanted all the same. Rejects only when `signal` aborts, or for a bug. */
export async function preflight(lane: Lane, signal: AbortSignal): Promise<readonly Finding[]> {
  const [primary, broker, profile] = await Promise.all([
    asked(lane.primary, signal, async () => {
      await using inspector = await lane.source(signal);
      return await inspector.check(signal);
    }),
    asked('broker', signal, async () => {
      await using inspector = await lane.broker(signal);
      return await inspector.check(signal);
    }),
    profileOf(lane, signal),
  ]);
  const secondaries = await Promise.all(
    lane.secondaries.map((site) =>
      asked(site, signal, async () => {
        await using inspector = await lane.target(site, signal);
        return await inspector.check(profile, signal);
      }),
    ),
  );
  return [...primary, ...broker, ...secondaries.flat()];
}

/** Undefined: the primary cannot be asked, which its own findings say. */
async function profileOf(lane: Lane, signal: AbortSignal) {
  try {
    await using inspector = await lane.source(signal);
    return await inspector.profile(signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ChangeoverError) || error.code === 'ASSERTION') throw error;
    return undefined;
  }
}

async function asked(
  site: string,
  signal: AbortSignal,
  question: () => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  try {
    return await question();
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ChangeoverError) || error.code === 'ASSERTION') throw error;
    return [
      { severity: 'blocker', check: 'answers', site, message: error.message, cure: error.hint, code: error.code },
    ];
  }
}
