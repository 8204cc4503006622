import type { Finding } from '../../finding.ts';
import type { TlsPlan } from '../../tls.ts';
import { type Addressed, openFindings } from '../in-the-open.ts';
import type { RabbitPlace } from './connect.ts';

/** The password is a secret. */
export interface RabbitLogin {
  readonly user: string;
  readonly password: string;
}

/** The server of a place, and how it is spoken to. */
export interface RabbitTarget extends Addressed {
  /** For the client. Holds the login, where the address did. */
  readonly url: URL;
  readonly tls?: TlsPlan;
}

/** A plan of TLS is meant, whatever the address says. */
export function targetOf({ url, tls }: RabbitPlace): RabbitTarget {
  const address = new URL(url);
  const plan = tls ?? (address.protocol === 'amqps:' ? {} : undefined);
  if (plan) address.protocol = 'amqps:';
  const { host, hostname } = address;
  return { url: address, host, name: hostname.replace(/^\[|\]$/g, ''), ...(plan && { tls: plan }) };
}

export const openRabbitFindings = (place: RabbitPlace): readonly Finding[] =>
  openFindings('RabbitMQ', {
    targets: [targetOf(place)],
    cure: '# in rabbitmq.conf:\nlisteners.ssl.default = 5671\nssl_options.certfile = ...\nssl_options.keyfile = ...\n# in changeover.yaml, at broker.rabbitmq:\nurl: "amqps://..."\ntls: { ca: ./ca.pem }',
  });
