import type { Batch } from '../change/change.ts';
import type { Offset, Position } from '../change/position.ts';
import { ChangeoverError } from '../error.ts';
import type { Source } from '../source/source.ts';

/** Puts a snapshot into the broker, so that reading the source from the returned position continues it without a gap. An
 *  interrupted one begins again: its pieces have no end, and the new run voids them. */
export async function bootstrap(
  source: Source,
  append: (batch: Batch) => Promise<Offset>,
  signal: AbortSignal,
): Promise<Position> {
  // The run is opened before anything is made at the source: whatever stands there when the broker is not empty is our own.
  const opening: Batch = { after: undefined, starts: true, changes: [], end: undefined };
  const again = (await append(opening)) > 0;
  for await (const piece of source.snapshot({ again }, signal)) {
    await append(piece);
    if (piece.end) return piece.end;
  }
  signal.throwIfAborted();
  throw new ChangeoverError('SOURCE_PROTOCOL', 'The snapshot ended without its position');
}
