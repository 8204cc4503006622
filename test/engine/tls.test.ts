import assert from 'node:assert/strict';
import { appendFile, chmod, chown, copyFile, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { openPostgresServer, type PostgresServer } from '../../src/demo/postgres-server.ts';
import { openFindings, refusedFinding } from '../../src/engine/postgres/access.ts';
import { connect } from '../../src/engine/postgres/connect.ts';
import { ChangeoverError, isCode } from '../../src/error.ts';
import { type Authority, type Certificate, openAuthority } from '../servers/certificates.ts';
import { never, run } from '../servers/postgres.ts';

suite('PostgreSQL over TLS', { timeout: 60_000 }, () => {
  let server: PostgresServer;
  let authority: Authority;
  let foreign: Authority;
  let good: Certificate;

  before(async () => {
    [server, authority, foreign] = await Promise.all([openPostgresServer(), openAuthority(), openAuthority()]);
    good = await authority.issue('server', ['DNS:localhost', 'IP:127.0.0.1']);
  });
  after(() => Promise.all([server, authority, foreign].map((one) => one[Symbol.asyncDispose]())));

  /** Starts it anew with this certificate. */
  async function serve({ cert, key }: Certificate): Promise<void> {
    const data = join(server.folder, 'data');
    const { uid, gid } = await stat(data);
    await server.stop('fast');
    const files = { 'server.crt': cert, 'server.key': key, 'root.crt': authority.ca };
    for (const [name, from] of Object.entries(files)) {
      await copyFile(from, join(data, name));
      await chmod(join(data, name), 0o600);
      await chown(join(data, name), uid, gid);
    }
    await appendFile(join(data, 'postgresql.auto.conf'), `ssl = on\nssl_ca_file = 'root.crt'\n`);
    await server.start();
  }

  const address = (query: string, host = '127.0.0.1'): string => `${server.url().replace('127.0.0.1', host)}?${query}`;

  async function refused(url: string): Promise<string> {
    const opened = connect({ url, side: 'TARGET', application: 'test' }, never);
    const error = await opened.then(
      async (connection) => {
        await connection[Symbol.asyncDispose]();
        return assert.fail('let in');
      },
      (error: unknown) => error,
    );
    assert.ok(error instanceof ChangeoverError);
    assert.equal(error.code, 'TARGET_TLS_REFUSED', error.message);
    assert.ok(!error.message.includes(server.password));
    assert.notEqual(error.hint, '');
    assert.equal(refusedFinding('TARGET', url, error).check, 'tls');
    return error.message;
  }

  test('one that has no TLS is refused where TLS is asked for, and is not spoken to in the open', async () => {
    for (const mode of ['require', 'verify-ca', 'verify-full'])
      assert.match(await refused(address(`sslmode=${mode}`)), /has no TLS/);
  });

  test('one of our own authority is let in, for queries and for replication', async () => {
    await serve(good);
    const url = address(`sslrootcert=${authority.ca}`);
    for (const replication of [false, true]) {
      await using connection = await connect({ url, side: 'SOURCE', application: 'test', replication }, never);
      const [[encrypted] = []] = await connection.rows('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
      assert.equal(encrypted, 't');
    }
    const [[open] = []] = await run(server.url(), 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
    assert.equal(open, 'f', 'TLS only where it is asked for');
  });

  test('no mode leaves out whom to trust, and which host', async () => {
    await serve(good);
    for (const mode of ['require', 'verify-ca', 'verify-full']) {
      assert.match(await refused(address(`sslmode=${mode}`)), /authority that is not trusted/);
      assert.match(await refused(address(`sslmode=${mode}&sslrootcert=${foreign.ca}`)), /not trusted/);
    }
    const elsewhere = await authority.issue('server', ['DNS:db.example.org']);
    await serve(elsewhere);
    for (const mode of ['require', 'verify-ca', 'verify-full'])
      for (const host of ['127.0.0.1', 'localhost'])
        assert.match(await refused(address(`sslmode=${mode}&sslrootcert=${authority.ca}`, host)), /another host/);
    // The name that it must carry may be told.
    const named = address(`sslrootcert=${authority.ca}&sslservername=db.example.org`, 'localhost');
    assert.deepEqual(await run(named, 'SELECT 1'), [['1']]);
    assert.match(await refused(named.replace('db.example', 'other.example')), /another host/);
  });

  test('a certificate for the name localhost does not vouch for an address by number', async () => {
    await serve(await authority.issue('server', ['DNS:localhost']));
    assert.match(await refused(address(`sslrootcert=${authority.ca}`)), /another host/);
    assert.deepEqual(await run(address(`sslrootcert=${authority.ca}`, 'localhost'), 'SELECT 1'), [['1']]);
  });

  test('an expired certificate is refused', async () => {
    await serve(await authority.issue('server', ['IP:127.0.0.1'], 'expired'));
    assert.match(await refused(address(`sslrootcert=${authority.ca}`)), /has expired/);
  });

  test('our own certificate logs us in, and none of another authority', async () => {
    const rules = join(server.folder, 'data', 'pg_hba.conf');
    await writeFile(rules, `hostssl all agent 127.0.0.1/32 cert\n${await readFile(rules, 'utf8')}`);
    await serve(good);
    await run(server.url(), 'CREATE ROLE agent LOGIN');
    const login = async (by: Authority): Promise<unknown> => {
      const { cert, key } = await by.issue('agent', ['DNS:agent']);
      const url = `postgres://agent@127.0.0.1:${server.port}/postgres?sslrootcert=${authority.ca}&sslcert=${cert}&sslkey=${key}`;
      return run(url, 'SELECT current_user');
    };
    assert.deepEqual(await login(authority), [['agent']]);
    await assert.rejects(login(foreign), (error) => isCode(error, 'SOURCE_TLS_REFUSED', 'SOURCE_LOGIN_REFUSED'));
  });

  test('a file that is not there is told by its path', async () => {
    const opened = connect({ url: address('sslrootcert=/nowhere/ca.pem'), side: 'SOURCE', application: 'test' }, never);
    await assert.rejects(opened, (error) => isCode(error, 'CONFIG_UNREADABLE') && /nowhere/.test(String(error)));
  });
});

test('check finds an address that is elsewhere and in the open', () => {
  const checks = (url: string) => openFindings(url).map(({ severity, check }) => `${severity} ${check}`);
  assert.deepEqual(checks('postgres://app@db.example.org/shop'), ['warning tls']);
  assert.deepEqual(checks('postgres://app@10.0.0.7/shop?sslmode=disable'), ['warning tls']);
  for (const near of ['localhost', '127.0.0.1', '[::1]']) assert.deepEqual(checks(`postgres://app@${near}/shop`), []);
  assert.deepEqual(checks('postgres:///shop?host=/run/postgresql'), []);
  assert.deepEqual(checks('postgres://app@db.example.org/shop?sslmode=verify-full'), []);
  assert.deepEqual(checks('postgres://app@db.example.org/shop?sslrootcert=/ca.pem'), []);
});
