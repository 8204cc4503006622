import { nats } from '../../src/demo/nats.ts';
import { brokerServerConformance } from '../conformance/broker-server.ts';

brokerServerConformance({
  name: 'nats',
  kind: nats,
  adapter: new URL('./nats-adapter.ts', import.meta.url),
});
