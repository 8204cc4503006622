import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openPostgresServer, type PostgresServer } from '../../src/demo/postgres-server.ts';
import { repair } from '../../src/verify/repair.ts';
import { never } from '../servers/postgres.ts';
import { found, openWorld, restless, tables } from './world.ts';

let server: PostgresServer;
before(async () => {
  server = await openPostgresServer();
});
after(() => server[Symbol.asyncDispose]());

const rounds = Number(process.env.CHANGEOVER_VERIFY_ROUNDS ?? 8);

test(`two sides are equal in every round while rows change, hot ones too`, async () => {
  await using world = await openWorld(server, { before: tables });
  await using clients = await restless(world.sides.primary, 4);
  const positions = new Set<string>();
  for (let round = 0; round < rounds; round += 1) {
    const before = clients.count;
    const verdicts = await world.verdicts();
    assert.deepEqual([...verdicts.keys()].toSorted(), ['bag', 't']);
    for (const [name, verdict] of verdicts) {
      assert.deepEqual(found(verdicts, name), [], `round ${round}`);
      assert.equal(verdict.verdict, 'equal');
      positions.add(verdict.position.token);
    }
    assert.ok(clients.count > before, 'nothing changed meanwhile');
  }
  assert.equal(positions.size, rounds);
});

test('what is planted at the secondary is found, row by row and column by column, and put right while rows change', async () => {
  await using world = await openWorld(server, { before: tables });
  await using _clients = await restless(world.sides.primary, 2);
  await world.secondary(
    'DELETE FROM public.t WHERE id IN (2001, 2002)',
    `INSERT INTO public.t VALUES (50001, 1, 'extra', NULL)`,
    `UPDATE public.t SET v = v || ' ', n = NULL WHERE id = 2003`,
    // Stored beside the row, and so long that the stream would not send it.
    'UPDATE public.t SET big = overlay(big PLACING $$X$$ FROM 9000) WHERE id = 2050',
    `INSERT INTO public.bag VALUES (99, 'one too many'), (99, 'one too many')`,
  );
  const verdicts = await world.verdicts();
  assert.deepEqual(found(verdicts, 't'), [
    { kind: 'missing', key: ['2001'], rows: 1 },
    { kind: 'missing', key: ['2002'], rows: 1 },
    { kind: 'different', key: ['2003'], rows: 1 },
    { kind: 'different', key: ['2050'], rows: 1 },
    { kind: 'extra', key: ['50001'], rows: 1 },
  ]);
  assert.deepEqual(found(verdicts, 'bag'), [{ kind: 'extra', key: [], rows: 2 }]);
  const t = verdicts.get('t');
  assert.ok(t?.verdict === 'differs');
  const columns = new Map(t.columns.map((one) => [one.key[0], one.columns.map(({ name }) => name)]));
  assert.deepEqual([columns.get('2050'), columns.get('2003')], [['big'], ['n', 'v']]);

  const options = { wanted: () => true, timeoutMs: 60_000 };
  const dry = await repair(world.lane.between, { ...options, dryRun: true }, never);
  assert.deepEqual(
    dry.repaired.map(({ after }) => after),
    [undefined, undefined],
  );
  const { repaired } = await repair(world.lane.between, { ...options, dryRun: false }, never);
  assert.deepEqual(
    repaired.map(({ before, after }) => [before.carried.table.name, before.verdict, after?.verdict]),
    [
      ['bag', 'differs', 'equal'],
      ['t', 'differs', 'equal'],
    ],
  );
  for (const [, verdict] of await world.verdicts()) assert.equal(verdict.verdict, 'equal');
});
