import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import { recopy } from '../../src/verify/repair.ts';
import { openServer } from '../servers/clusters.ts';
import { never } from '../servers/postgres.ts';
import { found, openWorld, restless, tables } from './world.ts';

let server: PostgresServer;
before(async () => {
  server = await openServer();
});
after(() => server[Symbol.asyncDispose]());

test('a table whose rows the secondary refuses is set aside, never silently, and comes back with a copy', async () => {
  await using world = await openWorld(server, {
    before: [
      ...tables,
      'CREATE TABLE public.bad (id int PRIMARY KEY, v text)',
      `INSERT INTO public.bad VALUES (1, 'a')`,
    ],
  });
  const { lane } = world;
  await using target = await lane.between.target(never);
  await world.secondary(`ALTER TABLE public.bad ADD CONSTRAINT narrow CHECK (v < 'm')`);
  {
    await using _clients = await restless(world.sides.primary, 1);
    await world.primary(`INSERT INTO public.bad VALUES (2, 'z')`);
    const { code, message } = await lane.stopped();
    assert.equal(code, 'TARGET_REFUSED');
    assert.match(message, /narrow.*\(table public\.bad, SQLSTATE 23514\)/);
  }
  const setAside = async (): Promise<void> => {
    const since = await lane.captured();
    await target.setAside({ table: { schema: 'public', name: 'bad' }, since }, never);
    lane.resume();
  };
  await setAside();
  // Of a transaction that touches both, all arrives but the rows of the table set aside.
  await world.primary(
    `UPDATE public.bad SET v = 'y'`,
    `DELETE FROM public.bad WHERE id = 1`,
    `BEGIN; INSERT INTO public.t VALUES (60000, 1, 'the others go on', NULL); INSERT INTO public.bad VALUES (9, 'z'); COMMIT`,
  );
  await lane.caughtUp();
  assert.deepEqual(
    (await target.observe(never)).setAside.map(({ table }) => table.name),
    ['bad'],
  );
  const verdicts = await world.verdicts();
  assert.deepEqual(found(verdicts, 't'), []);
  const verdict = verdicts.get('bad');
  assert.ok(verdict?.verdict === 'not checked');
  assert.match(verdict.why, /set aside since/);

  // Too early: the cause is still there. What is set aside again stays so, though its copy is in the log already.
  await recopy(lane.between, { table: { schema: 'public', name: 'bad' }, whole: true }, never);
  assert.equal((await lane.stopped()).code, 'TARGET_REFUSED');
  await setAside();
  await lane.caughtUp();
  assert.equal((await world.verdicts(/bad/)).get('bad')?.verdict, 'not checked');

  await world.secondary('ALTER TABLE public.bad DROP CONSTRAINT narrow');
  await recopy(lane.between, { table: { schema: 'public', name: 'bad' }, whole: true }, never);
  await world.primary(`INSERT INTO public.bad VALUES (3, 'x')`);
  await lane.caughtUp();
  assert.deepEqual((await target.observe(never)).setAside, []);
  for (const [name, { verdict }] of await world.verdicts()) assert.equal(verdict, 'equal', name);
});

test('a table can be set aside only while nobody applies', async () => {
  await using world = await openWorld(server, { before: tables });
  await using target = await world.lane.between.target(never);
  const table = { table: { schema: 'public', name: 't' }, since: await world.lane.captured() };
  await assert.rejects(target.setAside(table, never), { code: 'TARGET_BUSY' });
});
