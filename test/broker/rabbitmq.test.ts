import { rabbitmq } from '../../src/demo/rabbitmq.ts';
import { brokerServerConformance } from '../conformance/broker-server.ts';

brokerServerConformance({
  name: 'rabbitmq',
  kind: rabbitmq,
  // Its files hold the path of their folder, and a copy does not come up: it is killed only.
  crashes: 0,
  trimming: 'own',
  adapter: new URL('./rabbitmq-adapter.ts', import.meta.url),
});
