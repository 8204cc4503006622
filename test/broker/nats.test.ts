import { brokerServerConformance } from '../conformance/broker-server.ts';
import { nats } from '../servers/nats.ts';

brokerServerConformance({
  name: 'nats',
  kind: nats,
  adapter: new URL('./nats-adapter.ts', import.meta.url),
});
