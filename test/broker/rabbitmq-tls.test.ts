import assert from 'node:assert/strict';
import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { connectRabbit, type RabbitPlace } from '../../src/broker/rabbitmq/connect.ts';
import { openRabbitFindings } from '../../src/broker/rabbitmq/login.ts';
import { type BrokerServer, openBrokerServer } from '../../src/demo/broker-server.ts';
import { rabbitmq } from '../../src/demo/rabbitmq.ts';
import { ChangeoverError, type Code } from '../../src/error.ts';
import { type Authority, type Certificate, openAuthority } from '../servers/certificates.ts';
import { skipReason } from '../servers/skip.ts';

const login = { user: 'changeover', password: 'p@ss/w:rd%' };

suite('RabbitMQ over TLS', { timeout: 120_000, skip: skipReason(rabbitmq) }, () => {
  let opened: AsyncDisposableStack | undefined;
  let authority: Authority;
  let foreign: Authority;
  let own: Certificate;
  let server: BrokerServer;
  let tlsPort = 0;
  before(async () => {
    await using opening = new AsyncDisposableStack();
    [authority, foreign] = await Promise.all([openAuthority(), openAuthority()]);
    opening.use(authority);
    opening.use(foreign);
    own = await authority.issue('changeover', ['DNS:changeover']);
    const usual = await authority.issue('server', ['DNS:localhost']);
    const expired = await authority.issue('server', ['DNS:expired'], 'expired');
    server = opening.use(
      await openBrokerServer({
        ...rabbitmq,
        otherPorts: 3,
        async prepare(place) {
          await rabbitmq.prepare?.(place);
          tlsPort = place.others[2] ?? 0;
          await appendFile(
            join(place.folder, 'rabbitmq.conf'),
            `listeners.ssl.1 = 127.0.0.1:${tlsPort}\ndefault_user = ${login.user}\ndefault_pass = ${login.password}\n`,
          );
          await writeFile(join(place.folder, 'advanced.config'), listener({ usual, expired, ca: authority.ca }));
        },
        command(place) {
          const command = rabbitmq.command(place);
          const file = { RABBITMQ_ADVANCED_CONFIG_FILE: join(place.folder, 'advanced.config') };
          return { ...command, environment: { ...command.environment, ...file } };
        },
      }),
    );
    opened = opening.move();
  });
  after(() => opened?.disposeAsync());

  /** Our usual way in, but for what is said otherwise. */
  async function letIn({ host = 'localhost', ...more }: Partial<RabbitPlace> & { host?: string } = {}): Promise<void> {
    const place = { url: `amqps://${host}:${tlsPort}`, stream: 'shop', login, tls: { ca: authority.ca, ...own } };
    await (await connectRabbit({ ...place, ...more })).close();
  }
  async function refused(code: Code, more: Parameters<typeof letIn>[0]): Promise<string> {
    const error = await letIn(more).then(
      () => assert.fail('let in'),
      (error: unknown) => error,
    );
    assert.ok(error instanceof ChangeoverError);
    assert.equal(error.code, code, error.message);
    assert.ok(!`${error.message}${String(error.cause)}`.includes(login.password));
    return error.message;
  }

  test('only a server of a trusted authority that carries the name is spoken to', async () => {
    const { ca } = authority;
    await letIn();
    const host = '127.0.0.1';
    assert.match(await refused('BROKER_TLS_REFUSED', { host }), /another host/);
    await letIn({ host, tls: { ca, ...own, serverName: 'localhost' } });
    const other = { ca, ...own, serverName: 'other' };
    assert.match(await refused('BROKER_TLS_REFUSED', { tls: other }), /another host/);
    assert.match(await refused('BROKER_TLS_REFUSED', { tls: { ...own, ca: foreign.ca } }), /not trusted/);
    assert.match(await refused('BROKER_TLS_REFUSED', { tls: own }), /not trusted/);
  });

  test('an expired certificate is refused, and a port without TLS', async () => {
    const tls = { ca: authority.ca, ...own, serverName: 'expired' };
    assert.match(await refused('BROKER_TLS_REFUSED', { tls }), /has expired/);
    const url = `amqp://localhost:${server.port}`;
    assert.match(await refused('BROKER_TLS_REFUSED', { url }), /does not speak TLS/);
  });

  test('a server that asks who we are lets in our certificate, and neither none nor one of a foreign authority', async () => {
    const { ca } = authority;
    assert.match(await refused('BROKER_TLS_REFUSED', { tls: { ca } }), /handshake of TLS failed/);
    const stranger = await foreign.issue('changeover', ['DNS:changeover']);
    assert.match(await refused('BROKER_TLS_REFUSED', { tls: { ca, ...stranger } }), /handshake of TLS failed/);
  });

  test('user and password log us in, apart from the address or in it, and others do not', async () => {
    await refused('BROKER_LOGIN_REFUSED', { login: { ...login, password: 'wrong' } });
    const url = `amqps://${login.user}:${encodeURIComponent(login.password)}@localhost:${tlsPort}`;
    await (await connectRabbit({ url, stream: 'shop', tls: { ca: authority.ca, ...own } })).close();
  });
});

/** One certificate for those who ask for no other, and by name one that has expired. Whoever comes has to show his own. */
function listener(of: { readonly usual: Certificate; readonly expired: Certificate; readonly ca: string }): string {
  const pair = ({ cert, key }: Certificate): string => `{certfile, "${cert}"}, {keyfile, "${key}"}`;
  return `[{rabbit, [{ssl_options, [${pair(of.usual)}, {cacertfile, "${of.ca}"}, {verify, verify_peer}, {fail_if_no_peer_cert, true},
    {sni_hosts, [{"expired", [${pair(of.expired)}]}]}]}]}].\n`;
}

test('check finds a server of RabbitMQ that is elsewhere and in the open', () => {
  const checks = (url: string) => openRabbitFindings({ url, stream: 'shop' }).map(({ check }) => check);
  assert.deepEqual(checks('amqp://a:b@broker.example.org/shop'), ['tls']);
  assert.deepEqual(checks('amqps://a:b@broker.example.org/shop'), []);
  assert.deepEqual(checks('amqp://localhost'), []);
  const tls = {};
  assert.deepEqual(openRabbitFindings({ url: 'amqp://broker.example.org', stream: 'shop', tls }), []);
});
