import { openRabbitBroker, openRabbitReader } from '../../src/broker/rabbitmq/carrier.ts';
import type { Adapter } from '../conformance/broker-server.ts';

const placeOf = (port: number, stream: string) => ({ url: `amqp://guest:guest@127.0.0.1:${port}`, stream });

/** The servers whose first stream is made: only that one takes its time, see settleMs. */
const settled = new Set<number>();

export const adapter: Adapter = {
  openWriter({ port, stream }, signal) {
    const settle = settled.has(port) ? { settleMs: 0 } : {};
    settled.add(port);
    return openRabbitBroker({ ...placeOf(port, stream), keepMs: 0, ...settle }, signal);
  },
  openReader: ({ port, stream }, signal) => openRabbitReader(placeOf(port, stream), signal),
};
