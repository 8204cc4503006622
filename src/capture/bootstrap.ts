import type { Broker } from '../broker/broker.ts';
import type { Batch } from '../change/change.ts';
import type { Offset, Position } from '../change/position.ts';
import { ChangeoverError } from '../error.ts';
import type { Source } from '../source/source.ts';

export interface BootstrapOptions {
  readonly source: Source;
  readonly broker: Broker;
  readonly append: (batch: Batch) => Promise<Offset>;
}

/** Puts a snapshot into the broker, so that reading the source from the returned position continues it without a gap. An
 *  interrupted one begins again: its pieces have no end, and the new run voids them. */
export async function bootstrap({ source, broker, append }: BootstrapOptions, signal: AbortSignal): Promise<Position> {
  // A lane that was refused because another one's slot stands there must not take that slot for its own when it is tried again:
  // so the broker holds nothing before something of ours stands at the source.
  const again = !(await broker.isEmpty());
  for await (const piece of source.snapshot({ again }, signal)) {
    await append(piece);
    if (piece.end) return piece.end;
  }
  signal.throwIfAborted();
  throw new ChangeoverError('SOURCE_PROTOCOL', 'The snapshot ended without its position');
}
