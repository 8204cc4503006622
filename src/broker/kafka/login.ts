import { isIP } from 'node:net';
import type { BaseOptions } from '@platformatic/kafka';
import type { Finding } from '../../finding.ts';
import { lastingTlsOptions } from '../../tls.ts';
import { type Addressed, openFindings } from '../in-the-open.ts';
import type { KafkaPlace } from './connect.ts';

/** The password is a secret. */
export interface KafkaLogin {
  readonly mechanism: 'scram-sha-512' | 'scram-sha-256' | 'plain';
  readonly user: string;
  readonly password: string;
}

const mechanisms = { 'scram-sha-512': 'SCRAM-SHA-512', 'scram-sha-256': 'SCRAM-SHA-256', plain: 'PLAIN' } as const;

const targetsOf = ({ bootstrap, tls }: KafkaPlace): readonly Addressed[] =>
  bootstrap.map((host) => ({ host, name: host.replace(/:\d+$/, '').replace(/^\[|\]$/g, ''), ...(tls && { tls }) }));

/** How every connection of a client is made: also to the brokers that those of the place tell of. Throws CONFIG_UNREADABLE. */
export async function loginOptions(place: KafkaPlace): Promise<Pick<BaseOptions, 'tls' | 'tlsServerName' | 'sasl'>> {
  const { tls, login } = place;
  return {
    ...(tls && {
      tls: await lastingTlsOptions(tls),
      // Each broker is asked for by its own name. Where they go by numbers there is none to ask for.
      ...(tls.serverName === undefined && { tlsServerName: targetsOf(place).every(({ name }) => !isIP(name)) }),
    }),
    ...(login && {
      sasl: { mechanism: mechanisms[login.mechanism], username: login.user, password: login.password },
    }),
  };
}

export const openKafkaFindings = (place: KafkaPlace): readonly Finding[] =>
  openFindings('Kafka', {
    targets: targetsOf(place),
    cure: '# in server.properties:\nlisteners=SASL_SSL://:9093\nssl.keystore.location=...\n# in changeover.yaml, at broker.kafka:\ntls: { ca: ./ca.pem }',
  });
