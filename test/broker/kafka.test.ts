import { kafka } from '../../src/demo/kafka.ts';
import { brokerServerConformance } from '../conformance/broker-server.ts';

brokerServerConformance({
  name: 'kafka',
  kind: kafka,
  crashes: 1,
  adapter: new URL('./kafka-adapter.ts', import.meta.url),
});
