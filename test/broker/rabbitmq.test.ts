import { brokerServerConformance } from '../conformance/broker-server.ts';
import { rabbitmq } from '../servers/rabbitmq.ts';

brokerServerConformance({
  name: 'rabbitmq',
  kind: rabbitmq,
  // Its files hold the path of their folder, and a copy does not come up: it is killed only.
  crashes: 0,
  trimming: 'own',
  adapter: new URL('./rabbitmq-adapter.ts', import.meta.url),
});
