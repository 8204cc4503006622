import { brokerServerConformance } from '../conformance/broker-server.ts';
import { kafka } from '../servers/kafka.ts';

brokerServerConformance({
  name: 'kafka',
  kind: kafka,
  crashes: 1,
  adapter: new URL('./kafka-adapter.ts', import.meta.url),
});
