import type { Broker, BrokerReader } from '../broker/broker.ts';
import type { Batch, Message } from '../change/change.ts';
import type { Offset, Position } from '../change/position.ts';
import { ChangeoverError } from '../error.ts';
import type { Source } from '../source/source.ts';

/** Opens the broker that is being written, for reading. */
export type OpenReader = (signal: AbortSignal) => Promise<BrokerReader>;

export interface BootstrapOptions {
  readonly source: Source;
  readonly broker: Broker;
  readonly openReader?: OpenReader | undefined;
  readonly append: (batch: Batch) => Promise<Offset>;
}

/** Puts a snapshot into the broker, so that reading the source from the returned position continues it without a gap. An
 *  interrupted one goes on where it can: the broker holds what it told. Else it begins again: its pieces have no end, and the new
 *  run voids them. */
export async function bootstrap(
  { source, broker, openReader, append }: BootstrapOptions,
  signal: AbortSignal,
): Promise<Position> {
  // A lane that was refused because another one's slot stands there must not take that slot for its own when it is tried again:
  // so the broker holds nothing before the source claimed what it is about to make, by what nobody else's has.
  const again = !(await broker.isEmpty());
  const told = again && openReader ? await toldBefore(openReader, signal) : [];
  for await (const piece of source.snapshot({ again, told }, signal)) {
    await append(piece);
    if (piece.end) return piece.end;
  }
  signal.throwIfAborted();
  throw new ChangeoverError('SOURCE_PROTOCOL', 'The snapshot ended without its position');
}

/** The messages of the run of pieces that the broker ends with. Of one whose beginning was trimmed, the source cannot make anything. */
async function toldBefore(openReader: OpenReader, signal: AbortSignal): Promise<readonly Message[]> {
  await using reader = await openReader(signal);
  const { first, next } = await reader.observe();
  let told: Message[] = [];
  if (first === next) return told;
  for await (const { offset, batch } of reader.read(first, signal)) {
    if (batch.starts) told = [];
    for (const change of batch.changes) if (change.kind === 'message') told.push(change);
    if (offset + 1 >= next) break;
  }
  return told;
}
