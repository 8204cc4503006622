import { openNatsBroker, openNatsReader } from '../../src/broker/nats/carrier.ts';
import type { Adapter } from '../conformance/broker-server.ts';

const placeOf = (port: number, stream: string) => ({ servers: [`nats://127.0.0.1:${port}`], stream });

export const adapter: Adapter = {
  openWriter: ({ port, stream }, signal) => openNatsBroker(placeOf(port, stream), signal),
  openReader: ({ port, stream }, signal) => openNatsReader(placeOf(port, stream), signal),
};
