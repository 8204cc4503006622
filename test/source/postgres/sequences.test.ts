import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { PostgresServer } from '../../../src/demo/postgres-server.ts';
import { openSides } from '../../end-to-end/sides.ts';
import { type Lane, openLane } from '../../fixtures/lane.ts';
import { openServer } from '../../servers/clusters.ts';
import { open, run } from '../../servers/postgres.ts';

/* Sequences are no rows: the stream does not have them. They are looked at, and what was seen goes into the stream. */

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

interface World extends AsyncDisposable {
  readonly primary: string;
  readonly secondary: string;
  readonly lane: Lane;
  /** Every sequence there stands as it does here. */
  settles(): Promise<void>;
}

async function openWorld(...texts: readonly string[]): Promise<World> {
  const sides = await openSides(from, to);
  await run(sides.primary, 'SET search_path = public', ...texts);
  const lane = openLane({ sides, wanted: ({ name }) => !name.startsWith('tmp_') });
  await lane.caughtUp();
  return {
    ...sides,
    lane,
    async settles() {
      const here = await valuesOf(sides.primary);
      let there = await valuesOf(sides.secondary);
      for (const lateMs = performance.now() + 30_000; performance.now() < lateMs && there.join() !== here.join(); ) {
        await lane.caughtUp();
        there = await valuesOf(sides.secondary);
      }
      assert.deepEqual(there, here);
    },
    [Symbol.asyncDispose]: () => lane[Symbol.asyncDispose](),
  };
}

/** What is given out next shows in these two. */
async function valuesOf(url: string): Promise<readonly string[]> {
  await using connection = await open(url);
  const names = await connection.rows(
    `SELECT format('%I.%I', schemaname, sequencename) FROM pg_sequences WHERE sequencename !~ '^tmp_' ORDER BY 1`,
  );
  const values: string[] = [];
  for (const [name] of names) {
    const [row = []] = await connection.rows(`SELECT last_value, is_called FROM ${name}`);
    values.push(`${name} ${row.join(' ')}`);
  }
  return values;
}

const kinds = {
  plain: '',
  cached: 'CACHE 50',
  descending: 'INCREMENT -3 MAXVALUE 100 START 100 MINVALUE -9223372036854775808',
  largest: 'START 9223372036854775800',
  small: 'AS smallint START 32000',
  cycling: 'MAXVALUE 5 CYCLE',
  '"Quoted ""Name"': '',
};

test('sequences of every kind follow, also where no row does', async () => {
  const names = Object.keys(kinds);
  await using world = await openWorld(
    ...Object.entries(kinds).map(([name, options]) => `CREATE SEQUENCE ${name} ${options}`),
    'CREATE TABLE owning (a serial, b int GENERATED ALWAYS AS IDENTITY (START 7 INCREMENT 7))',
  );
  for (let round = 1; round <= 3; round += 1) {
    await run(
      world.primary,
      'SET search_path = public',
      ...names.flatMap((name) => [`SELECT nextval('${name}')`, `SELECT nextval('${name}')`]),
    );
    await world.settles();
  }
  await run(
    world.primary,
    'SET search_path = public',
    'INSERT INTO owning DEFAULT VALUES',
    `SELECT setval('plain', 4000, false)`,
  );
  await world.settles();
  assert.ok((await valuesOf(world.secondary)).includes('public.plain 4000 f'));
  assert.ok((await valuesOf(world.secondary)).includes('public.cycling 1 t'));
  assert.ok((await valuesOf(world.secondary)).includes('public.owning_b_seq 7 t'));
  // What is not used any more is not told again.
  const told = (): number => world.lane.changes.filter(({ kind }) => kind === 'sequences').length;
  const before = told();
  await world.lane.caughtUp();
  await world.lane.caughtUp();
  assert.equal(told(), before);
});

test('a sequence that is altered, renamed, made anew or restarted is followed', async () => {
  await using world = await openWorld('CREATE SEQUENCE one', 'CREATE SEQUENCE two', 'CREATE TABLE t (a serial)');
  await run(
    world.primary,
    'SET search_path = public',
    `SELECT setval('one', 50), setval('two', 60)`,
    'INSERT INTO t DEFAULT VALUES',
  );
  await world.settles();
  await run(
    world.primary,
    'SET search_path = public',
    // The value that was told last, and another one meanwhile.
    'ALTER SEQUENCE one RESTART WITH 3',
    `SELECT setval('one', 50)`,
    'ALTER SEQUENCE two RENAME TO three',
    `SELECT setval('three', 70)`,
    'CREATE SEQUENCE two MAXVALUE 9',
    `SELECT nextval('two')`,
    'TRUNCATE t RESTART IDENTITY',
  );
  await world.settles();
  assert.deepEqual(await valuesOf(world.secondary), [
    'public.one 50 t',
    'public.t_a_seq 1 f',
    'public.three 70 t',
    'public.two 1 t',
  ]);
});

test('one that somebody holds keeps no other back, nor one that is not at the secondary or is left out', async () => {
  await using world = await openWorld(
    'CREATE SEQUENCE held',
    'CREATE SEQUENCE free',
    'CREATE SEQUENCE gone',
    'CREATE TABLE tmp_t (a serial)',
  );
  await using holder = await open(world.primary);
  await run(world.secondary, 'DROP SEQUENCE public.gone');
  await run(world.primary, `SELECT nextval('public.held'), nextval('public.gone')`);
  await holder.rows('BEGIN');
  await holder.rows('ALTER SEQUENCE public.held RENAME TO still_held');
  await run(world.primary, `SELECT setval('public.free', 42), setval('public.tmp_t_a_seq', 9)`);
  for (const lateMs = performance.now() + 30_000; performance.now() < lateMs; ) {
    await world.lane.caughtUp();
    if ((await valuesOf(world.secondary)).includes('public.free 42 t')) break;
  }
  assert.ok((await valuesOf(world.secondary)).includes('public.free 42 t'));
  await holder.rows('COMMIT');
  await run(world.primary, 'DROP SEQUENCE public.gone');
  await world.settles();
  const values = world.lane.changes.flatMap((change) => (change.kind === 'sequences' ? change.values : []));
  assert.ok(values.every(({ name }) => !name.startsWith('tmp_')));
});

test('nobody else can set a sequence by a message', async () => {
  await using world = await openWorld('CREATE SEQUENCE mine');
  await run(
    world.primary,
    `SELECT pg_logical_emit_message(true, 'changeover', 'sequences x')`,
    `SELECT nextval('public.mine')`,
  );
  await world.settles();
});
