import { z } from 'zod';
import { isEncoded } from './address.ts';
import { password, user } from './login.ts';
import { described } from './page.ts';
import { streamName } from './stream.ts';
import { tls } from './tls.ts';

export const rabbitmq = z.strictObject({
  url: described(
    z.string().refine(isRabbitUrl, {
      error: 'is no address of RabbitMQ; write amqp://user:password@host:5672/vhost, with % in the password as %25',
    }),
    {
      says: 'Address of RabbitMQ, with user, password and virtual host. `amqps://` asks for TLS, as `tls: {}` does; its port is 5671 where none is written.',
      why: 'The password does not belong in this file: take it from the environment with "${NAME}", or from a file. Without a login here or below, it is guest, which RabbitMQ lets in from its own machine only.',
      right: 'an address like amqp://user:password@host:5672/vhost, or { file: ./path } to read it from a file',
      example: '"${RABBITMQ_URL}"',
      required: true,
      secret: true,
    },
  ),
  stream: streamName,
  tls: described(tls.optional(), {
    says: 'Connects by TLS, and only to a server that proves who it is. `{}` is enough where its certificate is of a public authority.',
    why: 'A server that does not speak TLS at that port is refused before a login is sent.',
    right: 'a mapping like { ca: ./ca.pem }',
    example: '{ ca: ./ca.pem }',
  }),
  user,
  password,
});

function isRabbitUrl(text: string): boolean {
  return isEncoded(text) && /^amqps?:$/.test(URL.parse(text)?.protocol ?? '');
}
