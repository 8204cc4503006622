import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { askPrefix } from '../../src/change/ask.ts';
import type { Batch } from '../../src/change/change.ts';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import { ChangeoverError } from '../../src/error.ts';
import type { Excerpts } from '../../src/source/postgres/excerpt.ts';
import { recopy, repair } from '../../src/verify/repair.ts';
import { verify } from '../../src/verify/verify.ts';
import { openServer } from '../servers/clusters.ts';
import { never, open } from '../servers/postgres.ts';
import { found, openWorld, restless, tables } from './world.ts';

let server: PostgresServer;
before(async () => {
  server = await openServer();
});
after(() => server[Symbol.asyncDispose]());

const rounds = Number(process.env.CHANGEOVER_VERIFY_ROUNDS ?? 4);

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

test('who reads the secondary sees the former rows of a table until its copy is whole, and never less', async () => {
  await using world = await openWorld(server, { before: tables });
  await world.secondary('UPDATE public.t SET v = $$wrong$$', 'DELETE FROM public.t WHERE id < 100');
  await using clients = await restless(world.sides.primary, 2);
  await using reader = await open(world.sides.secondary);
  const seen = new Set<string>();
  const over = new AbortController();
  const looking = (async () => {
    while (!over.signal.aborted) {
      const [row] = await reader.rows(
        'SELECT count(*) FILTER (WHERE v = $$wrong$$) > 1500, count(*) > 1900 FROM public.t',
      );
      seen.add(String(row));
    }
  })();
  const before = clients.count;
  const { rows } = await recopy(world.lane.between, { table: { schema: 'public', name: 't' }, whole: true }, never);
  await world.lane.caughtUp();
  over.abort();
  await looking;
  assert.ok(rows > 2000);
  assert.ok(clients.count > before);
  assert.deepEqual([...seen].toSorted(), ['f,t', 't,t']);
  assert.deepEqual(found(await world.verdicts(), 't'), []);
});

test('rows that filters and masks change are compared as they travel', async () => {
  const excerpts: Excerpts = {
    key: 'k',
    fingerprint: 'x',
    of: ({ name }) =>
      name === 't'
        ? { rows: 'id % 2 = 0', leaveOut: ['n'], masks: new Map([['v', { kind: 'hash' }]]) }
        : name === 'bag'
          ? { rows: undefined, leaveOut: [], masks: new Map([['b', { kind: 'fixed', value: 'secret' }]]) }
          : undefined,
  };
  await using world = await openWorld(server, {
    before: [...tables, 'ALTER TABLE public.t REPLICA IDENTITY FULL'],
    excerpts,
  });
  await using _clients = await restless(world.sides.primary, 2);
  for (let round = 0; round < 2; round += 1)
    for (const [name, { verdict }] of await world.verdicts()) assert.equal(verdict, 'equal', name);
  await world.secondary(
    `UPDATE public.t SET v = 'v2002' WHERE id = 2002`,
    'DELETE FROM public.t WHERE id = 2004',
    `INSERT INTO public.t (id, v) VALUES (2005, 'not carried')`,
    // Of a number that the clients never run out of.
    `UPDATE public.bag SET b = 'b' WHERE ctid = (SELECT ctid FROM public.bag WHERE a = 4 LIMIT 1)`,
  );
  const verdicts = await world.verdicts();
  assert.deepEqual(found(verdicts, 't'), [
    { kind: 'different', key: ['2002'], rows: 1 },
    { kind: 'missing', key: ['2004'], rows: 1 },
    { kind: 'extra', key: ['2005'], rows: 1 },
  ]);
  const bag = found(verdicts, 'bag').map(({ kind, rows }) => `${rows} ${kind}`);
  assert.deepEqual(new Set(bag), new Set(['1 extra', '1 missing']));
  const { repaired } = await repair(
    world.lane.between,
    { wanted: () => true, timeoutMs: 60_000, dryRun: false },
    never,
  );
  assert.deepEqual(
    repaired.map(({ after }) => after?.verdict),
    ['equal', 'equal'],
  );
});

test('a parent is compared without the rows of the tables that inherit from it', async () => {
  await using world = await openWorld(server, {
    before: [
      'CREATE TABLE public.parent (id int PRIMARY KEY, v text)',
      'CREATE TABLE public.heir (PRIMARY KEY (id)) INHERITS (public.parent)',
      `INSERT INTO public.parent VALUES (1, 'a'), (2, 'b')`,
      `INSERT INTO public.heir VALUES (3, 'c')`,
    ],
  });
  const told = async (): Promise<readonly unknown[]> => {
    const verdicts = await world.verdicts();
    return ['parent', 'heir'].map((name) => [verdicts.get(name)?.verdict, found(verdicts, name)]);
  };
  assert.deepEqual(await told(), [
    ['equal', []],
    ['equal', []],
  ]);
  // In the place of the parent's own row stands one of the heir: a reader of the parent sees no difference.
  await world.secondary('DELETE FROM ONLY public.parent WHERE id = 2', `INSERT INTO public.heir VALUES (2, 'b')`);
  assert.deepEqual(await told(), [
    ['differs', [{ kind: 'missing', key: ['2'], rows: 1 }]],
    ['differs', [{ kind: 'extra', key: ['2'], rows: 1 }]],
  ]);
});

test('a transaction that stays open delays the question, and nothing else', async () => {
  await using world = await openWorld(server, { before: tables });
  await using lingering = await open(world.sides.primary);
  await lingering.rows('BEGIN');
  await lingering.rows('UPDATE public.t SET n = 1 WHERE id = 2001');
  const options = { wanted: () => true, timeoutMs: 1500 };
  await assert.rejects(verify(world.lane.between, options, never).next(), { code: 'VERIFY_NO_STAND' });
  const asking = world.verdicts();
  await world.primary('UPDATE public.t SET n = 2 WHERE id = 2002');
  await world.lane.caughtUp();
  await lingering.rows('COMMIT');
  assert.deepEqual(found(await asking, 't'), []);
});

test('a lane of which nobody captures or applies is said to be so, and nothing is asked', async () => {
  const world = await openWorld(server, { before: tables });
  const { between } = world.lane;
  await world[Symbol.asyncDispose]();
  await assert.rejects(verify(between, { wanted: () => true, timeoutMs: 60_000 }, never).next(), {
    code: 'VERIFY_NO_STAND',
    message: 'Nobody applies to dublin',
  });
});

test('a capture that dies in the middle of a copy, or before it began, is asked again, and no part of the copy is seen', async () => {
  let deaths = 0;
  let isArmed = false;
  const isAsked = (batch: Batch): boolean =>
    batch.changes.some((change) => change.kind === 'message' && change.prefix === askPrefix);
  const isCopy = (batch: Batch): boolean =>
    batch.end === undefined && batch.changes.some(({ kind }) => kind === 'rows');
  await using world = await openWorld(server, {
    before: tables,
    onAppend(batch) {
      if (isArmed && ((deaths === 0 && isAsked(batch)) || (deaths === 1 && isCopy(batch)))) {
        deaths += 1;
        throw new ChangeoverError('BROKER_IO', 'killed');
      }
    },
  });
  isArmed = true;
  const { lane } = world;
  await world.secondary('DELETE FROM public.t WHERE id < 100');
  await using _clients = await restless(world.sides.primary, 2);
  const copying = recopy(lane.between, { table: { schema: 'public', name: 't' }, whole: true }, never);
  for (const death of [1, 2]) {
    assert.equal((await lane.stopped()).message, 'killed');
    assert.equal(deaths, death);
    lane.recapture();
  }
  await copying;
  assert.deepEqual(found(await world.verdicts(), 't'), []);
});

test('a large table is copied in parts by its key, and between them the stream goes on', async () => {
  await using world = await openWorld(server, {
    before: [
      ...tables,
      'CREATE TABLE public.pairs (a uuid, b timestamptz, v text, PRIMARY KEY (a, b))',
      `INSERT INTO public.pairs SELECT md5((k / 10)::text)::uuid, '2026-01-01'::timestamptz + k * interval '1 s', k FROM generate_series(1, 1500) k`,
      'ANALYZE',
    ],
  });
  await world.secondary(
    'UPDATE public.t SET v = $$wrong$$ WHERE id % 3 = 0',
    'DELETE FROM public.t WHERE id % 7 = 0',
    'UPDATE public.pairs SET b = b + interval $$1 day$$ WHERE v::int % 5 = 0',
  );
  await using clients = await restless(world.sides.primary, 2);
  for (const name of ['t', 'pairs']) {
    const parts: number[] = [];
    const before = clients.count;
    await recopy(
      world.lane.between,
      { table: { schema: 'public', name }, whole: false, bytes: 32 * 1024, onPart: (rows) => parts.push(rows) },
      never,
    );
    assert.ok(parts.length > 3, `${name} came in ${parts.length} parts`);
    assert.ok(clients.count > before);
  }
  for (const [name, { verdict }] of await world.verdicts()) assert.equal(verdict, 'equal', name);
  const cleared = world.lane.changes.filter((change) => change.kind === 'clear');
  assert.deepEqual(cleared[0]?.after, undefined);
  assert.deepEqual(cleared[1]?.after, cleared[0]?.upTo);
});

test('a table whose key the two sides may sort otherwise, or with another unique constraint, is copied in one part', async () => {
  await using world = await openWorld(server, {
    before: [
      'CREATE TABLE public.words (w text PRIMARY KEY)',
      'INSERT INTO public.words SELECT md5(k::text) FROM generate_series(1, 2000) k',
      'CREATE TABLE public.twice (id int PRIMARY KEY, u int UNIQUE)',
      'INSERT INTO public.twice SELECT k, k FROM generate_series(1, 5000) k',
      'ANALYZE',
    ],
  });
  await world.secondary('DELETE FROM public.words', 'UPDATE public.twice SET u = -u');
  for (const name of ['words', 'twice'])
    await recopy(world.lane.between, { table: { schema: 'public', name }, whole: false, bytes: 1024 }, never);
  const cleared = world.lane.changes.filter((change) => change.kind === 'clear');
  assert.deepEqual(
    cleared.map(({ table, upTo }) => [table.name, upTo]),
    [
      ['words', undefined],
      ['twice', undefined],
    ],
  );
  for (const [name, { verdict }] of await world.verdicts()) assert.equal(verdict, 'equal', name);
});

test('a table of many blocks is one transaction all the same', async () => {
  await using world = await openWorld(server, {
    before: [
      'CREATE TABLE public.wide (id int PRIMARY KEY, v text)',
      'INSERT INTO public.wide SELECT k, repeat(md5(k::text), 200) FROM generate_series(1, 2000) k',
    ],
  });
  await world.secondary('UPDATE public.wide SET v = NULL');
  await recopy(world.lane.between, { table: { schema: 'public', name: 'wide' }, whole: true }, never);
  const pieces = world.lane.changes.filter((change) => change.kind === 'rows' && change.table.name === 'wide');
  // Those of the first copy, and as many again.
  assert.ok(pieces.length >= 8, `${pieces.length} pieces`);
  assert.equal((await world.verdicts()).get('wide')?.verdict, 'equal');
});
