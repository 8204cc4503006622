import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../../src/engine/postgres/connect.ts';
import { isCode } from '../../src/error.ts';
import { openServer } from '../servers/clusters.ts';
import { never, run, urlWith } from '../servers/postgres.ts';

const nobody = '127.0.0.1:1';
const connecting = (url: string) => connect({ url, side: 'SOURCE', application: 'changeover test' }, never);

test('of several servers the first that leads is taken, and where none does all are named', async () => {
  await using server = await openServer();
  const url = urlWith(server.url(), { password: server.password });
  const { host, username } = new URL(url);
  const there = url.replace(host, nobody);
  await using connection = await connecting(`${there}?hosts=${nobody},${host}`);
  assert.deepEqual(await connection.rows('SELECT inet_server_port()'), [[new URL(url).port]]);
  await assert.rejects(connecting(`${there}?hosts=127.0.0.1:2`), (error) => {
    assert.ok(isCode(error, 'SOURCE_UNREACHABLE') && error instanceof Error);
    assert.match(error.message, /^None of 2 servers leads: .*127\.0\.0\.1:1.*; .*127\.0\.0\.1:2/);
    assert.ok(!error.message.includes(server.password));
    return true;
  });
  await run(url, 'CREATE ROLE stranger');
  // A login that is refused is no reason to wait, unless another server may yet be the one.
  const strangers = url.replace(`//${username}`, '//stranger');
  await assert.rejects(connecting(`${strangers}?hosts=${host}`), (error) => isCode(error, 'SOURCE_LOGIN_REFUSED'));
  await assert.rejects(connecting(`${strangers}?hosts=${nobody}`), (error) => isCode(error, 'SOURCE_UNREACHABLE'));
});
