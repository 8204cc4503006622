import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '../../../src/error.ts';
import { openPostgresTarget } from '../../../src/target/postgres/open.ts';
import { openProxy } from '../../end-to-end/proxy.ts';
import { run, urlWith } from '../../servers/postgres.ts';
import { sharedServer } from '../../servers/shared.ts';

const server = sharedServer();

test('a secondary that goes down while it is opened is out of reach, and no privilege is missed', async ({
  signal,
}) => {
  await using database = await server.database();
  await using proxy = await openProxy(database.server.port);
  for (const words of ['session_replication_role', 'to_regclass', 'CREATE TABLE', 'FROM changeover.checkpoint']) {
    proxy.cutAt(words);
    const opening = openPostgresTarget({ url: proxy.url(database.url), name: 'lane' }, signal);
    await assert.rejects(opening, (error) => isCode(error, 'TARGET_UNREACHABLE'), words);
  }
  await using _target = await openPostgresTarget({ url: proxy.url(database.url), name: 'lane' }, signal);
});

test('a role that may not write as a replica is told which privilege it lacks', async ({ signal }) => {
  await using database = await server.database();
  await run(database.url, `CREATE ROLE plain LOGIN PASSWORD 'x'`, 'GRANT CREATE ON DATABASE postgres TO plain');
  const url = urlWith(database.url, { user: 'plain', password: 'x' });
  const opening = openPostgresTarget({ url, name: 'lane' }, signal);
  await assert.rejects(opening, { code: 'TARGET_PRIVILEGE', hint: /session_replication_role/ });
});
