import { nats } from '../../src/demo/nats.ts';
import { overBroker } from './over-broker.ts';

overBroker({
  name: 'NATS JetStream',
  kind: nats,
  isSealed: true,
  plan: ({ port }, stream = 'shop') => ({ nats: { servers: `nats://127.0.0.1:${port}`, stream } }),
});
