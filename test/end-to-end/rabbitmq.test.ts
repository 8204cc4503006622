import { rabbitmq } from '../../src/demo/rabbitmq.ts';
import { overBroker } from './over-broker.ts';

overBroker({
  name: 'RabbitMQ streams',
  kind: rabbitmq,
  plan: ({ port }, stream = 'shop') => ({ rabbitmq: { url: `amqp://guest:guest@127.0.0.1:${port}`, stream } }),
});
