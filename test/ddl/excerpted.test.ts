import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import type { Excerpt, Excerpts } from '../../src/source/postgres/excerpt.ts';
import { openSides } from '../end-to-end/sides.ts';
import { type Lane, openLane } from '../fixtures/lane.ts';
import { openServer } from '../servers/clusters.ts';
import { run } from '../servers/postgres.ts';

/* Schema changes of tables with filters and masks. */

let from: PostgresServer;
let to: PostgresServer;
before(async () => {
  from = await openServer();
  to = await openServer();
});
after(async () => {
  await from[Symbol.asyncDispose]();
  await to[Symbol.asyncDispose]();
});

const key = 'a key of the tests alone';
const hmac = (text: string): string => createHmac('sha256', key).update(text, 'utf8').digest('hex');
const masked: Excerpt = {
  rows: undefined,
  leaveOut: ['note'],
  masks: new Map([
    ['email', { kind: 'hash' }],
    ['mail', { kind: 'null' }],
  ]),
};
const rules: Readonly<Record<string, Excerpt>> = {
  'public.person': masked,
  'home.person': masked,
  'public.leaf': masked,
  'public.some': { rows: 'id > 1', leaveOut: [], masks: new Map() },
};
const excerpts: Excerpts = { of: ({ schema, name }) => rules[`${schema}.${name}`], key, fingerprint: 'f'.repeat(64) };

const secret = 'the secret itself';
const columns = 'id int PRIMARY KEY, note text, email text, open text';
const schema = [
  'CREATE SCHEMA home',
  'CREATE SCHEMA apart',
  `CREATE TABLE public.person (${columns})`,
  `CREATE TABLE home.person (${columns})`,
  `CREATE TABLE public.tree (${columns}) PARTITION BY LIST (id)`,
  'CREATE TABLE public.leaf PARTITION OF public.tree DEFAULT',
  'CREATE TABLE public.some (id int)',
  'ALTER TABLE public.some REPLICA IDENTITY FULL',
  `CREATE FUNCTION public.quiet() RETURNS void LANGUAGE sql AS 'ALTER TABLE public.person RENAME email TO letters'`,
  ...['public.person', 'home.person', 'public.tree'].map(
    (table) => `INSERT INTO ${table} VALUES (1, '${secret}', '${secret}')`,
  ),
  'INSERT INTO public.some VALUES (1), (2)',
];

interface World extends AsyncDisposable {
  readonly sides: { readonly primary: string; readonly secondary: string };
  readonly lane: Lane;
}

async function openWorld(): Promise<World> {
  const sides = await openSides(from, to);
  await run(sides.primary, ...schema);
  const lane = openLane({ sides, excerpts });
  await lane.caughtUp();
  return { sides, lane, [Symbol.asyncDispose]: () => lane[Symbol.asyncDispose]() };
}

function provesNothingWentOut(lane: Lane): void {
  for (const change of lane.changes)
    for (const bytes of Object.values(change))
      assert.ok(!Buffer.isBuffer(bytes) || !bytes.includes(secret), change.kind);
}

test('rows that a change writes anew go out masked, and changes of other columns are followed', async () => {
  await using world = await openWorld();
  const { sides, lane } = world;
  await run(
    sides.primary,
    `INSERT INTO public.person VALUES (2, NULL, E'${secret}\\t\\\\N', E'a\\nb')`,
    'ALTER TABLE public.person ADD at timestamptz DEFAULT clock_timestamp()',
    'ALTER TABLE public.person RENAME open TO opened',
    'ALTER TABLE public.person RENAME CONSTRAINT person_pkey TO note',
    'ALTER TABLE public.person DROP note',
    `INSERT INTO public.person (id, email) VALUES (3, '${secret}')`,
    'CREATE TABLE public.plain (a int)',
    'ALTER TABLE public.plain RENAME TO plainer',
  );
  await lane.caughtUp();
  const there = await run(sides.primary, 'SELECT id, at FROM public.person ORDER BY id');
  const emails = [secret, `${secret}\t\\N`, secret];
  assert.deepEqual(
    await run(sides.secondary, 'SELECT id, email, opened, at FROM public.person ORDER BY id'),
    there.map(([id, at], place) => [id, hmac(emails[place] ?? ''), place === 1 ? 'a\nb' : null, at]),
  );
  provesNothingWentOut(lane);
});

test('rows of a table with a row filter do not come with a change, which stops', async () => {
  await using world = await openWorld();
  await run(world.sides.primary, 'ALTER TABLE public.some ADD r float8 DEFAULT random()');
  assert.match((await world.lane.stopped()).message, /random.*row filter/);
  assert.deepEqual(await run(world.sides.secondary, 'TABLE public.some'), [['2']]);
});

for (const [what, text, table] of [
  ['a masked column', 'ALTER TABLE public.person RENAME email TO letters', 'person (id, letters)'],
  ['a column, to a name that is masked,', 'ALTER TABLE public.person RENAME COLUMN open TO mail', 'person (id, mail)'],
  ['a table', 'ALTER TABLE IF EXISTS public.person RENAME TO people', 'people (id, email)'],
  ['a table, by its schema,', 'ALTER TABLE public.person SET SCHEMA apart', 'apart.person (id, email)'],
  ['a schema', 'ALTER SCHEMA home RENAME TO house', 'house.person (id, email)'],
  ['a column of a parent', 'ALTER TABLE public.tree RENAME email TO letters', 'tree (id, letters)'],
  ['a column, where nobody knows how,', 'SELECT public.quiet()', 'person (id, letters)'],
] as const)
  test(`${what} that is renamed goes no further in the clear`, async () => {
    await using world = await openWorld();
    await run(
      world.sides.primary,
      'SET search_path = public',
      text,
      `INSERT INTO ${table.includes('.') ? '' : 'public.'}${table} VALUES (7, '${secret}')`,
    );
    const error = await world.lane.stopped();
    assert.equal(error.code, 'SOURCE_TABLE_UNSUITABLE', error.stack);
    assert.match(error.hint, /--restart/);
    provesNothingWentOut(world.lane);
  });

test('a masked column that is renamed goes no further also where no event trigger tells', async () => {
  await using world = await openWorld();
  await run(world.sides.primary, `INSERT INTO public.person VALUES (5, NULL, '${secret}')`);
  await world.lane.caughtUp();
  await run(
    world.sides.primary,
    'DROP EVENT TRIGGER changeover_ddl_end',
    'ALTER TABLE public.person RENAME email TO letters',
    `INSERT INTO public.person (id, letters) VALUES (6, '${secret}')`,
  );
  const error = await world.lane.stopped();
  assert.equal(error.code, 'SOURCE_TABLE_UNSUITABLE', error.stack);
  provesNothingWentOut(world.lane);
});
