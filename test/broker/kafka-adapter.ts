import { openKafkaBroker, openKafkaReader } from '../../src/broker/kafka/carrier.ts';
import type { Adapter } from '../conformance/broker-server.ts';

const placeOf = (port: number, stream: string) => ({ bootstrap: [`127.0.0.1:${port}`], topic: stream });

export const adapter: Adapter = {
  openWriter: ({ port, stream }, signal) => openKafkaBroker(placeOf(port, stream), signal),
  openReader: ({ port, stream }, signal) => openKafkaReader(placeOf(port, stream), signal),
};
