import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '../../../src/error.ts';
import { postgresSource } from '../../../src/source/postgres/open.ts';
import { openProxy } from '../../end-to-end/proxy.ts';
import { run } from '../../servers/postgres.ts';
import { sharedServer } from '../../servers/shared.ts';

const server = sharedServer();

test('a primary that goes down while a copy begins is out of reach, and nothing is blamed on privileges or tables', async ({
  signal,
}) => {
  await using database = await server.database();
  await using proxy = await openProxy(database.server.port);
  await run(database.url, 'CREATE TABLE public.keyless (a int)');
  const begin = async (again: boolean): Promise<void> => {
    const options = { url: proxy.url(database.url), name: 'lane', wanted: () => true, heartbeatMs: 1000 };
    await using source = postgresSource(options);
    for await (const piece of source.snapshot({ again }, signal)) if (piece.end) return;
  };
  for (const words of ['REPLICA IDENTITY FULL', 'CREATE PUBLICATION', 'CREATE_REPLICATION_SLOT']) {
    proxy.cutAt(words);
    await assert.rejects(begin(false), (error) => isCode(error, 'SOURCE_UNREACHABLE'), words);
  }
  await begin(true);
});
