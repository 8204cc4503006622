import { type Authenticator, credsAuthenticator, nkeyAuthenticator } from '@nats-io/transport-node';
import { unreachable } from '../../error.ts';
import type { Finding } from '../../finding.ts';
import { type TlsOptions, tlsOptions } from '../../tls.ts';
import { type Addressed, openFindings } from '../in-the-open.ts';
import type { NatsPlace } from './connect.ts';

/** Secrets, but for the user. */
export type NatsLogin =
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'nkey'; readonly seed: string }
  | { readonly kind: 'creds'; readonly creds: string };

/** One server of a place, and how it is spoken to. */
export interface NatsTarget extends Addressed {
  readonly port: number;
  readonly login?: NatsLogin;
}

/** A login that one of the addresses holds, and TLS that one of them asks for, are meant for all. */
export function targetsOf({ servers, tls, login }: NatsPlace): readonly NatsTarget[] {
  const urls = servers.map((server) => new URL(server.includes('://') ? server : `nats://${server}`));
  const plan = tls ?? (urls.some(({ protocol }) => protocol === 'tls:') ? {} : undefined);
  const known = login ?? urls.map(loginIn).find(Boolean);
  return urls.map(({ host, hostname, port }) => ({
    host,
    port: Number(port || 4222),
    name: hostname.replace(/^\[|\]$/g, ''),
    ...(plan && { tls: plan }),
    ...(known && { login: known }),
  }));
}

function loginIn({ username, password }: URL): NatsLogin | undefined {
  const [user, secret] = [decodeURIComponent(username), decodeURIComponent(password)];
  if (user === '') return undefined;
  return secret === '' ? { kind: 'token', token: user } : { kind: 'password', user, password: secret };
}

export const tlsOf = ({ tls, name }: NatsTarget): Promise<TlsOptions> => tlsOptions({ serverName: name, ...tls });

type LoginOptions = { user: string; pass: string } | { token: string } | { authenticator: Authenticator };

export function loginOptions(login: NatsLogin | undefined): LoginOptions | undefined {
  switch (login?.kind) {
    case undefined:
      return undefined;
    case 'password':
      return { user: login.user, pass: login.password };
    case 'token':
      return { token: login.token };
    case 'nkey':
      return { authenticator: nkeyAuthenticator(Buffer.from(login.seed)) };
    case 'creds':
      return { authenticator: credsAuthenticator(Buffer.from(login.creds)) };
    default:
      return unreachable(login);
  }
}

export const openNatsFindings = (place: NatsPlace): readonly Finding[] =>
  openFindings('NATS', {
    targets: targetsOf(place),
    cure: '# in nats-server.conf:\ntls { cert_file: "...", key_file: "..." }\n# in changeover.yaml, at broker.nats:\ntls: { ca: ./ca.pem }',
  });
