import { offset } from '../../change/position.ts';
import { ChangeoverError } from '../../error.ts';
import type { BrokerReader, Entry } from '../broker.ts';

/** The last entry of a stream that is not empty. Throws BROKER_GAP where the broker holds none any more, or does not give it. */
export async function lastEntry(reader: BrokerReader, signal: AbortSignal): Promise<Entry> {
  const { first, next } = await reader.observe();
  if (first < next) for await (const entry of reader.read(offset(next - 1), signal)) return entry;
  signal.throwIfAborted();
  throw new ChangeoverError(
    'BROKER_GAP',
    `The broker holds no entry before ${next}: nothing tells what the next follows`,
  );
}
