import type { Offset } from '../../change/position.ts';
import { isSealed, stillSealed } from '../../change/sealed.ts';
import type { Broker, BrokerObservation, BrokerReader, Entry } from '../broker.ts';
import { lastEntry } from './last-entry.ts';

/* For a lane that is not configured to be sealed: a stream that is must not be taken for a plain one, by nobody. */

/** Takes the broker over, also when it throws: BROKER_SEALED where what it would follow is sealed. */
export async function openPlainBroker(
  broker: Broker,
  openReader: (signal: AbortSignal) => Promise<BrokerReader>,
  signal: AbortSignal,
): Promise<Broker> {
  await using opened = new AsyncDisposableStack();
  opened.use(broker);
  if (!(await broker.isEmpty())) {
    await using reader = await openReader(signal);
    const { first, next } = await reader.observe();
    if (first < next) refuseSealed(await lastEntry(reader, signal));
  }
  opened.move();
  return broker;
}

/** Takes `reader` over. */
export const openPlainReader = (reader: BrokerReader): BrokerReader => ({
  stream: reader.stream,
  async *read(from: Offset, signal: AbortSignal): AsyncGenerator<Entry, void> {
    for await (const entry of reader.read(from, signal)) yield refuseSealed(entry);
  },
  release: (consumer: string, from: Offset): Promise<void> => reader.release(consumer, from),
  observe: (): Promise<BrokerObservation> => reader.observe(),
  [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
});

/** Throws BROKER_SEALED. */
export function refuseSealed(entry: Entry): Entry {
  if (isSealed(entry.batch)) throw stillSealed(`Entry ${entry.offset}`);
  return entry;
}
