import { z } from 'zod';
import { password, user } from './login.ts';
import { described } from './page.ts';
import { serversOf, streamName } from './stream.ts';
import { tls } from './tls.ts';

const isHostAndPort = (server: string): boolean => /^(\[[0-9a-f:]+\]|[A-Za-z0-9._-]+):\d{1,5}$/i.test(server);

export const kafka = z.strictObject({
  bootstrap: described(
    z.string().refine((text) => serversOf(text).every(isHostAndPort), {
      error: 'is no address of Kafka; write host:9092, several with commas between them',
    }),
    {
      says: 'Addresses of some brokers of the cluster, with commas between them; they tell the others.',
      right: 'an address like kafka-1:9092',
      example: '"kafka-1:9092,kafka-2:9092"',
      required: true,
    },
  ),
  topic: streamName,
  tls: described(tls.optional(), {
    says: 'Connects by TLS, and only to brokers that prove who they are. `{}` is enough where their certificates are of a public authority.',
    why: 'For a listener of SSL or SASL_SSL. Each broker has to prove its own name, or all of them `server_name`. A listener in the open hangs up before anything is sent.',
    right: 'a mapping like { ca: ./ca.pem }',
    example: '{ ca: ./ca.pem }',
  }),
  mechanism: described(z.enum(['scram-sha-512', 'scram-sha-256', 'plain']).optional(), {
    says: 'How `user` logs in (SASL). Without it, scram-sha-512.',
    why: 'With scram the password itself is never sent, and the broker has to prove that it knows it. plain sends it: use it by TLS only.',
    right: 'scram-sha-512, scram-sha-256 or plain',
    example: 'scram-sha-256',
  }),
  user,
  password,
});
