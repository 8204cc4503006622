import type { Broker } from '../broker/broker.ts';
import { type Batch, changeCount, committedAtUs } from '../change/change.ts';
import { type Epoch, type Offset, type Position } from '../change/position.ts';
import type { Source } from '../source/source.ts';
import { publish } from '../telemetry.ts';
import { bootstrap, type OpenReader } from './bootstrap.ts';

export interface CaptureOptions {
  readonly source: Source;
  readonly broker: Broker;
  /** For going on with a snapshot that was interrupted. Without it, such a one begins again. */
  readonly openReader?: OpenReader;
  readonly epoch: Epoch;
  /** Called after each batch that is durable. */
  readonly progressed: () => void;
}

/** Carries what is committed at the source into the broker, until `signal` aborts or something fails. Keeps no state: the broker's
 *  tail says where to go on. A broker without a tail first gets a snapshot. */
export async function capture(
  { source, broker, openReader, epoch, progressed }: CaptureOptions,
  signal: AbortSignal,
): Promise<void> {
  const append = async (batch: Batch): Promise<Offset> => {
    const offset = await broker.append(epoch, batch);
    publish('changeover:captured', {
      offset,
      end: batch.end,
      changes: changeCount(batch),
      committedAtUs: committedAtUs(batch),
    });
    progressed();
    return offset;
  };
  const after: Position = (await broker.tail()) ?? (await bootstrap({ source, broker, openReader, append }, signal));
  for await (const batch of source.read(after, signal)) {
    await append(batch);
    // Invariant 1: only now is it durable, and only now may the source forget it.
    if (batch.end) await source.acknowledge(batch.end);
  }
}
