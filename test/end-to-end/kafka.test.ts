import { kafka } from '../../src/demo/kafka.ts';
import { overBroker } from './over-broker.ts';

overBroker({
  name: 'Kafka',
  kind: kafka,
  isSealed: true,
  plan: ({ port }, stream = 'shop') => ({ kafka: { bootstrap: `127.0.0.1:${port}`, topic: stream } }),
});
