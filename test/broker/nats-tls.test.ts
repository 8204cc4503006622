import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { nkeys } from '@nats-io/transport-node';
import { connectNats, type NatsPlace } from '../../src/broker/nats/connect.ts';
import { openNatsFindings } from '../../src/broker/nats/login.ts';
import { type BrokerServer, openBrokerServer } from '../../src/demo/broker-server.ts';
import { nats } from '../../src/demo/nats.ts';
import { ChangeoverError, isCode } from '../../src/error.ts';
import { type Authority, type Certificate, openAuthority } from '../servers/certificates.ts';
import { makeOperator } from '../servers/nats-operator.ts';
import { skipReason } from '../servers/skip.ts';

suite('NATS over TLS', { timeout: 60_000, skip: skipReason(nats) }, () => {
  let authority: Authority;
  let foreign: Authority;
  before(async () => {
    [authority, foreign] = await Promise.all([openAuthority(), openAuthority()]);
  });
  after(() => Promise.all([authority, foreign].map((one) => one[Symbol.asyncDispose]())));

  const serve = (more: readonly string[]): Promise<BrokerServer> =>
    openBrokerServer({
      ...nats,
      command: (place) => {
        const command = nats.command(place);
        return { ...command, arguments: [...command.arguments, ...more] };
      },
    });
  const tlsServer = ({ cert, key }: Certificate, ...more: readonly string[]): Promise<BrokerServer> =>
    serve(['--tls', '--tlscert', cert, '--tlskey', key, ...more]);

  async function letIn({ port }: BrokerServer, more: Partial<NatsPlace>, host = '127.0.0.1'): Promise<void> {
    const nats = await connectNats({ servers: [`${host}:${port}`], stream: 'shop', ...more });
    await nats[Symbol.asyncDispose]();
  }
  async function refused(server: BrokerServer, more: Partial<NatsPlace>, host?: string): Promise<string> {
    const error = await letIn(server, more, host).then(
      () => assert.fail('let in'),
      (error: unknown) => error,
    );
    assert.ok(error instanceof ChangeoverError);
    assert.equal(error.code, 'BROKER_TLS_REFUSED', error.message);
    return error.message;
  }

  test('only a server of a trusted authority that carries the name is spoken to', async () => {
    const { ca } = authority;
    await using server = await tlsServer(await authority.issue('server', ['DNS:localhost']));
    await letIn(server, { tls: { ca } }, 'localhost');
    assert.match(await refused(server, { tls: { ca } }), /another host/);
    await letIn(server, { tls: { ca, serverName: 'localhost' } });
    assert.match(await refused(server, { tls: { ca, serverName: 'other' } }, 'localhost'), /another host/);
    assert.match(await refused(server, { tls: { ca: foreign.ca } }, 'localhost'), /not trusted/);
    assert.match(await refused(server, { tls: {} }, 'localhost'), /not trusted/);
    const servers = [`127.0.0.1:${server.port}`, `localhost:${server.port}`];
    await letIn(server, { servers, tls: { ca } });
  });

  test('an expired certificate is refused, and a server without TLS', async () => {
    const tls = { ca: authority.ca };
    await using expired = await tlsServer(await authority.issue('server', ['IP:127.0.0.1'], 'expired'));
    assert.match(await refused(expired, { tls }), /has expired/);
    await using open = await serve([]);
    assert.match(await refused(open, { tls }), /has no TLS/);
  });

  test('a server that asks who we are lets in our certificate, and neither none nor one of a foreign authority', async () => {
    const { ca } = authority;
    const certificate = await authority.issue('server', ['IP:127.0.0.1']);
    await using server = await tlsServer(certificate, '--tlsverify', '--tlscacert', ca);
    await letIn(server, { tls: { ca, ...(await authority.issue('changeover', ['DNS:changeover'])) } });
    // What it says is lost sometimes, and each time has to be heard.
    for (let time = 0; time < 10; time += 1)
      assert.match(await refused(server, { tls: { ca } }), /handshake of TLS failed/);
    const stranger = await foreign.issue('changeover', ['DNS:changeover']);
    assert.match(await refused(server, { tls: { ca, ...stranger } }), /handshake of TLS failed/);
  });

  test('creds log a user of an account in, and neither one of a foreign operator nor one whose time is over', async () => {
    const tls = { ca: authority.ca };
    const [operator, other] = [makeOperator(), makeOperator()];
    const config = join(authority.folder, 'operator.conf');
    await writeFile(config, operator.config);
    const certificate = await authority.issue('server', ['IP:127.0.0.1']);
    await using server = await tlsServer(certificate, '--config', config);
    const letInBy = (creds: string) => letIn(server, { tls, login: { kind: 'creds', creds } });
    await letInBy(operator.creds());
    for (const creds of [other.creds(), operator.creds(-60), withoutSeed(operator.creds())])
      await assert.rejects(letInBy(creds), (error) => isCode(error, 'BROKER_LOGIN_REFUSED'));
  });

  test('a token and an nkey log us in, and others do not', async () => {
    const tls = { ca: authority.ca };
    const certificate = await authority.issue('server', ['IP:127.0.0.1']);
    const [known, stranger] = [nkeys.createUser(), nkeys.createUser()];
    const seedOf = (pair: typeof known): string => Buffer.from(pair.getSeed()).toString();
    const config = join(authority.folder, 'nats.conf');
    await writeFile(config, `authorization { users: [ { nkey: ${known.getPublicKey()} } ] }\n`);
    const isRefused = (error: unknown): boolean => isCode(error, 'BROKER_LOGIN_REFUSED');
    await using byToken = await tlsServer(certificate, '--auth', 'right');
    await letIn(byToken, { tls, login: { kind: 'token', token: 'right' } });
    await assert.rejects(letIn(byToken, { tls, login: { kind: 'token', token: 'wrong' } }), isRefused);
    await using byKey = await tlsServer(certificate, '--config', config);
    await letIn(byKey, { tls, login: { kind: 'nkey', seed: seedOf(known) } });
    await assert.rejects(letIn(byKey, { tls, login: { kind: 'nkey', seed: seedOf(stranger) } }), isRefused);
    // Well formed, but its checksum tells that a letter is wrong.
    const torn = seedOf(known).replace(/(?<=^.{30})./, (one) => (one === 'A' ? 'B' : 'A'));
    await assert.rejects(letIn(byKey, { tls, login: { kind: 'nkey', seed: torn } }), isRefused);
  });
});

/** As a file that was cut. */
const withoutSeed = (creds: string): string => creds.replace(/SU[A-Z2-7]+/, 'SU');

test('check finds a server of NATS that is elsewhere and in the open', () => {
  const checks = (server: string) => openNatsFindings({ servers: [server], stream: 'shop' }).map(({ check }) => check);
  assert.deepEqual(checks('nats://broker.example.org:4222'), ['tls']);
  assert.deepEqual(checks('tls://broker.example.org:4222'), []);
  assert.deepEqual(checks('localhost'), []);
});
