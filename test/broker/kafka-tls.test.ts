import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cp, readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { createServer } from 'node:tls';
import { AuthenticationError, NetworkError } from '@platformatic/kafka';
import { openKafkaBroker, openKafkaReader } from '../../src/broker/kafka/carrier.ts';
import { type KafkaPlace, kafkaClients, kafkaFailure } from '../../src/broker/kafka/connect.ts';
import { type KafkaLogin, openKafkaFindings } from '../../src/broker/kafka/login.ts';
import { type BrokerServer, openBrokerServer } from '../../src/demo/broker-server.ts';
import { kafka, kafkaWith } from '../../src/demo/kafka.ts';
import { ChangeoverError, type Code, isCode } from '../../src/error.ts';
import { take } from '../conformance/broker.ts';
import { type Authority, type Certificate, openAuthority } from '../servers/certificates.ts';
import { skipReason } from '../servers/skip.ts';
import { first, whole, wholes } from './batches.ts';

/** One password for each: no mechanism passes for another. */
const loginBy = (mechanism: KafkaLogin['mechanism'], password = `p@ss/w:rd-${mechanism}`): KafkaLogin => ({
  mechanism,
  user: 'changeover',
  password,
});
const mechanisms = ['scram-sha-512', 'scram-sha-256', 'plain'] as const;

suite('Kafka over TLS', { timeout: 120_000, skip: skipReason(kafka) }, () => {
  let opened: AsyncDisposableStack | undefined;
  let authority: Authority;
  let foreign: Authority;
  let own: Certificate;
  let server: BrokerServer;
  /** Of the listener that asks who we are, of one that has expired, and of one that wants a login. */
  let ports: readonly number[];
  before(async () => {
    await using opening = new AsyncDisposableStack();
    [authority, foreign] = await Promise.all([openAuthority(), openAuthority()]);
    opening.use(authority);
    opening.use(foreign);
    own = await authority.issue('changeover', ['DNS:changeover']);
    const usual = await showing(authority, await authority.issue('server', ['DNS:localhost']));
    const expired = await showing(authority, await authority.issue('server', ['DNS:localhost'], 'expired'));
    const kind = kafkaWith({
      listeners: [
        { name: 'mutual', protocol: 'SSL', settings: { ...usual, 'ssl.client.auth': 'required' } },
        { name: 'expired', protocol: 'SSL', settings: expired },
        { name: 'login', protocol: 'SASL_SSL', settings: { ...usual, ...logins } },
      ],
      format: (['scram-sha-512', 'scram-sha-256'] as const).flatMap((mechanism) => [
        '--add-scram',
        `${mechanism.toUpperCase()}=[name=changeover,password=${loginBy(mechanism).password}]`,
      ]),
    });
    const prepare: typeof kind.prepare = async (place) => {
      ports = place.others.slice(1);
      await kind.prepare?.(place);
    };
    server = opening.use(await openBrokerServer({ ...kind, prepare }));
    opened = opening.move();
  });
  after(() => opened?.disposeAsync());

  const at = (listener: 'mutual' | 'expired' | 'login', host = 'localhost'): readonly string[] => [
    `${host}:${ports[['mutual', 'expired', 'login'].indexOf(listener)]}`,
  ];
  /** Our usual way in, but for what is said otherwise. */
  const placeOf = (more: Partial<KafkaPlace>): KafkaPlace => ({
    bootstrap: at('mutual'),
    topic: 'shop',
    tls: { ca: authority.ca, ...own },
    ...more,
  });
  const letIn = async (more: Partial<KafkaPlace> = {}): Promise<void> => void (await kafkaClients(placeOf(more)));
  async function refused(code: Code, more: Partial<KafkaPlace>): Promise<string> {
    const error = await letIn(more).then(
      () => assert.fail('let in'),
      (error: unknown) => error,
    );
    assert.ok(error instanceof ChangeoverError);
    assert.equal(error.code, code, error.message);
    return error.message;
  }

  test('only a broker of a trusted authority that carries the name is spoken to', async () => {
    const { ca } = authority;
    await letIn();
    const bootstrap = at('mutual', '127.0.0.1');
    assert.match(await refused('BROKER_TLS_REFUSED', { bootstrap }), /another host/);
    await letIn({ bootstrap, tls: { ca, ...own, serverName: 'localhost' } });
    const other = { ca, ...own, serverName: 'other' };
    assert.match(await refused('BROKER_TLS_REFUSED', { tls: other }), /another host/);
    assert.match(await refused('BROKER_TLS_REFUSED', { tls: { ...own, ca: foreign.ca } }), /not trusted/);
    assert.match(await refused('BROKER_TLS_REFUSED', { tls: own }), /not trusted/);
  });

  test('an expired certificate is refused, and a listener in the open is not spoken to', async () => {
    const tls = { ca: authority.ca };
    assert.match(await refused('BROKER_TLS_REFUSED', { bootstrap: at('expired'), tls }), /has expired/);
    const bootstrap = [`127.0.0.1:${server.port}`];
    assert.match(await refused('BROKER_UNREACHABLE', { bootstrap }), /broke off the handshake of TLS/);
  });

  test('a broker that asks who we are lets in our certificate, and neither none nor one of a foreign authority', async () => {
    const { ca } = authority;
    assert.match(await refused('BROKER_TLS_REFUSED', { tls: { ca } }), /handshake of TLS failed/);
    const stranger = await foreign.issue('changeover', ['DNS:changeover']);
    assert.match(await refused('BROKER_TLS_REFUSED', { tls: { ca, ...stranger } }), /handshake of TLS failed/);
  });

  test('a certificate that is renewed is shown by the next connection of a client that is open', async () => {
    const path = (name: string) => join(authority.folder, `renewed.${name}`);
    const put = ({ cert, key }: Certificate) => Promise.all([cp(cert, path('pem')), cp(key, path('key'))]);
    await put(own);
    const tls = { ca: authority.ca, cert: path('pem'), key: path('key') };
    const clients = await kafkaClients(placeOf({ tls }));
    const asks = async (): Promise<number> => {
      const admin = clients.admin();
      try {
        return (await admin.metadata({ topics: [] })).brokers.size;
      } finally {
        await admin.close();
      }
    };
    assert.equal(await asks(), 1);
    await put(await foreign.issue('changeover', ['DNS:changeover']));
    await assert.rejects(asks());
    await put(await authority.issue('changeover', ['DNS:changeover']));
    assert.equal(await asks(), 1);
  });

  test('each mechanism logs us in with the right password, and not with another', async () => {
    const [bootstrap, tls] = [at('login'), { ca: authority.ca }];
    for (const mechanism of mechanisms) {
      await letIn({ bootstrap, tls, login: loginBy(mechanism) });
      const message = await refused('BROKER_LOGIN_REFUSED', { bootstrap, tls, login: loginBy(mechanism, 'wrong') });
      assert.doesNotMatch(message, /wrong/);
    }
    // One that is not offered.
    await refused('BROKER_LOGIN_REFUSED', { login: loginBy('plain') });
  });

  test('entries are written and read by TLS, logged in', async ({ signal }) => {
    const place = placeOf({ bootstrap: at('login'), tls: { ca: authority.ca }, login: loginBy('scram-sha-512') });
    await using writer = await openKafkaBroker(place, signal);
    await writer.append(first, whole(1));
    await using reader = await openKafkaReader(place, signal);
    assert.deepEqual(
      (await take(reader, 0, 1, signal)).map(({ batch }) => batch),
      wholes(1),
    );
  });
});

const logins = {
  'sasl.enabled.mechanisms': 'SCRAM-SHA-256,SCRAM-SHA-512,PLAIN',
  'scram-sha-256.sasl.jaas.config': 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
  'scram-sha-512.sasl.jaas.config': 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
  'plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required user_changeover="${loginBy('plain').password}";`,
};

async function showing(by: Authority, certificate: Certificate): Promise<Readonly<Record<string, string>>> {
  return {
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': await by.bundle(certificate),
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': by.ca,
  };
}

test('a broker is asked for by its own name, by that of the plan, and by none where it goes by a number', async () => {
  await using authority = await openAuthority();
  const { cert, key } = await authority.issue('server', ['DNS:localhost', 'IP:127.0.0.1']);
  const asked: (string | false | null | undefined)[] = [];
  const hangsUp = createServer({ cert: await readFile(cert), key: await readFile(key) }, (socket) => {
    asked.push(socket.servername);
    socket.destroy();
  }).listen(0, 'localhost');
  await once(hangsUp, 'listening');
  const { port } = hangsUp.address() as AddressInfo;
  for (const [host, serverName] of [
    ['localhost'],
    ['127.0.0.1', 'localhost'],
    ['127.0.0.1'],
    ['localhost', '127.0.0.1'],
  ]) {
    const tls = { ca: authority.ca, ...(serverName !== undefined && { serverName }) };
    const asking = kafkaClients({ bootstrap: [`${host}:${port}`], topic: 'shop', tls });
    await assert.rejects(asking, (error) => isCode(error, 'BROKER_UNREACHABLE'));
  }
  hangsUp.close();
  assert.deepEqual(asked, ['localhost', 'localhost', false, false]);
});

test('a login that only a broken connection ended is tried again; one that was refused is not', () => {
  const codeOf = (error: Error): Code => kafkaFailure(error, 'Asking').code;
  const failed = 'SASL authentication failed.';
  assert.equal(
    codeOf(new AuthenticationError(failed, { cause: new NetworkError('Connection closed') })),
    'BROKER_UNREACHABLE',
  );
  assert.equal(codeOf(new AuthenticationError('Invalid server signature.')), 'BROKER_LOGIN_REFUSED');
});

test('check finds a broker of Kafka that is elsewhere and in the open', () => {
  const bootstrap = ['localhost:9092', 'kafka-1:9092', '[::1]:9092', '10.1.2.3:9092'];
  const [finding, ...more] = openKafkaFindings({ bootstrap, topic: 'shop' });
  assert.equal(more.length, 0);
  assert.equal(finding?.check, 'tls');
  assert.match(finding?.message ?? '', /Kafka at kafka-1:9092, 10.1.2.3:9092 goes in the open/);
  assert.deepEqual(openKafkaFindings({ bootstrap, topic: 'shop', tls: {} }), []);
});
