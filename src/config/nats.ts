import { z } from 'zod';
import { isEncoded } from './address.ts';
import type { NatsLogin } from './configuration.ts';
import { password, user } from './login.ts';
import { described } from './page.ts';
import { serversOf, streamName } from './stream.ts';
import { tls } from './tls.ts';

const isServer = (server: string): boolean =>
  isEncoded(server) && /^((nats|tls):\/\/)?([^@/]+@)?(\[[0-9a-f:]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/i.test(server);

const secret = z.string().min(1);

/** That there is one login, and a whole one, is asked by `cross-check.ts`. */
export const nats = z.strictObject({
  servers: described(
    z.string().refine((text) => serversOf(text).every(isServer), {
      error:
        'is no address of NATS; write nats://host:4222, several with commas between them, and % in a password as %25',
    }),
    {
      says: 'Addresses of the servers of one cluster, with commas between them. `tls://` asks for TLS, as `tls: {}` does.',
      why: 'A user and a password, or a token, may stand before the @; take them from the environment with "${NAME}".',
      right: 'an address like nats://host:4222, or { file: ./path } to read it from a file',
      example: 'nats://localhost:4222',
      required: true,
      secret: true,
    },
  ),
  stream: streamName,
  tls: described(tls.optional(), {
    says: 'Connects by TLS, and only to servers that prove who they are. `{}` is enough where their certificates are of a public authority.',
    why: 'A server that does not offer TLS is refused before a login is sent. The order of handshake_first is not spoken.',
    right: 'a mapping like { ca: ./ca.pem }',
    example: '{ ca: ./ca.pem }',
  }),
  user,
  password,
  token: described(secret.optional(), {
    says: 'The token that we log in with.',
    right: '"${NAME}", or { file: ./path } to read it from a file',
    example: '"${NATS_TOKEN}"',
    secret: true,
  }),
  nkey: described(
    z
      .string()
      .regex(/^\s*SU[A-Z2-7]{56}\s*$/, { error: 'is no seed of an nkey of a user; it has 58 letters, SU first' })
      .optional(),
    {
      says: 'The seed of the nkey that we log in with.',
      why: 'It signs what the server asks, and never leaves this machine. `nk -gen user` makes one; the server knows its public half.',
      right: '{ file: ./path } to read it from a file, or "${NAME}"',
      example: '{ file: ./changeover.nk }',
      secret: true,
    },
  ),
  creds: described(
    z
      .string()
      .regex(/BEGIN NATS USER JWT[^]*BEGIN USER NKEY SEED/, { error: 'holds no JWT with a seed; write what nsc made' })
      .optional(),
    {
      says: 'The JWT and the seed that we log in with, as nsc writes them.',
      why: 'For a server with an operator and accounts.',
      right: '{ file: ./path } to read it from a file, or "${NAME}"',
      example: '{ file: ./changeover.creds }',
      secret: true,
    },
  ),
});

export function natsLoginOf({ user, password, token, nkey, creds }: z.output<typeof nats>): NatsLogin | undefined {
  if (user !== undefined && password !== undefined) return { kind: 'password', user, password };
  if (token !== undefined) return { kind: 'token', token };
  if (nkey !== undefined) return { kind: 'nkey', seed: nkey.trim() };
  if (creds !== undefined) return { kind: 'creds', creds };
  return undefined;
}
