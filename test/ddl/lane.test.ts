import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installTriggers } from '../../src/source/postgres/ddl/install.ts';
import { openSourceInspector } from '../../src/source/postgres/inspect.ts';
import { ensurePublication } from '../../src/source/postgres/publication.ts';
import { never, open, paste, run, urlWith } from '../servers/postgres.ts';
import { laneName, openWorld, server } from './world.ts';

/* What a lane does with schema changes, beyond replaying each. */

test('in a database that is not in UTF-8, names, texts and rows written anew come as they are', async () => {
  await using world = await openWorld({ encoding: 'LATIN1' });
  await world.primary(
    `CREATE TABLE "Größe" (a int PRIMARY KEY, "é" text DEFAULT 'ü')`,
    `INSERT INTO "Größe" VALUES (1, 'ß'), (2, DEFAULT)`,
    `COMMENT ON TABLE "Größe" IS 'à'`,
    `ALTER TABLE "Größe" ADD "ñ" text DEFAULT 'ä' || random()`,
    `CREATE SEQUENCE "Zähler"`,
    `SELECT nextval('"Zähler"')`,
  );
  await world.settles();
  assert.equal((await run(world.sides.secondary, 'TABLE public."Größe"')).length, 2);
});

test('what is rolled back, to a savepoint or whole, never happened', async () => {
  await using world = await openWorld();
  await world.primary(
    'CREATE TABLE t (a int PRIMARY KEY)',
    'BEGIN; ALTER TABLE t ADD gone int; INSERT INTO t VALUES (1, 1); ROLLBACK',
    'BEGIN',
    'SAVEPOINT s',
    'ALTER TABLE t ADD gone int',
    'INSERT INTO t VALUES (1, 1)',
    'ROLLBACK TO s',
    'ALTER TABLE t ADD b int',
    'INSERT INTO t VALUES (1, 2)',
    'COMMIT',
  );
  await world.settles();
});

test('a row written right behind a change of its subtransaction finds the table made', async () => {
  await using world = await openWorld();
  for (const n of [1, 2, 3])
    await world.primary(
      `BEGIN; SAVEPOINT s; CREATE TABLE t${n} (a int PRIMARY KEY); RELEASE s; INSERT INTO t${n} VALUES (1);
       SAVEPOINT s; ALTER TABLE t${n} ADD b int; RELEASE s; INSERT INTO t${n} VALUES (2, 2); COMMIT`,
    );
  await world.settles();
});

test('many changes and rows between them stay in their order, however much gathers', async () => {
  await using world = await openWorld({ before: ['CREATE TABLE t (a int PRIMARY KEY, v0 text)'] });
  for (let n = 0; n < 8; n += 1)
    await world.primary(
      `INSERT INTO t SELECT ${n} * 100 + k, 'v' FROM generate_series(1, 60) k`,
      `UPDATE t SET v${n} = 'x' WHERE a % 3 = 0`,
      `ALTER TABLE t ADD c${n} int DEFAULT ${n}`,
      `UPDATE t SET c${n} = a WHERE a % 2 = 0`,
      `ALTER TABLE t RENAME v${n} TO v${n + 1}`,
      'DELETE FROM t WHERE a % 7 = 0',
    );
  await world.settles();
});

test('a value of an enum is there before the transactions that use it, also where all wait for one lock', async () => {
  await using world = await openWorld({
    before: [`CREATE TYPE mood AS ENUM ('sad')`, 'CREATE TABLE t (a int PRIMARY KEY, m mood)'],
  });
  await using reader = await open(world.sides.secondary);
  await reader.rows('BEGIN');
  await reader.rows('LOCK TABLE public.t');
  await world.primary(`INSERT INTO t VALUES (0, 'sad')`);
  for (const n of [1, 2, 3])
    await world.primary(`ALTER TYPE mood ADD VALUE 'm${n}'`, `INSERT INTO t VALUES (${n}, 'm${n}')`);
  // What a later reader of the log would find as one lot, too.
  const { order } = await world.lane.captured();
  assert.ok(order > 0n);
  await reader.rows('COMMIT');
  await world.settles();
});

test('rows that are not told with their change stop the lane; done by hand, it goes on', async () => {
  await using world = await openWorld({
    before: ['CREATE TABLE t (a int PRIMARY KEY)', 'INSERT INTO t VALUES (1), (2)'],
  });
  await world.tellsNoRows();
  await world.primary('ALTER TABLE t ADD r float8 DEFAULT random()', 'INSERT INTO t VALUES (3)');
  const error = await world.lane.stopped();
  assert.equal(error.code, 'TARGET_SCHEMA_FAILED');
  assert.match(error.message, /random/);
  assert.match(error.message, /ALTER TABLE t ADD r float8 DEFAULT random\(\)/);
  assert.match(error.hint, /column r double precision/);
  const rows = await run(world.sides.primary, 'SELECT a, r FROM public.t WHERE a < 3');
  await world.secondary(
    'ALTER TABLE public.t ADD r float8 DEFAULT random()',
    ...rows.map(([a, r]) => `UPDATE public.t SET r = ${r} WHERE a = ${a}`),
  );
  await paste(world.sides.secondary, error.hint.slice(error.hint.indexOf('CREATE')));
  world.lane.resume();
  await world.settles();
});

for (const [what, text, reason] of [
  ['a clock', 'ALTER TABLE t ALTER a TYPE timestamptz USING clock_timestamp()', /clock_timestamp/],
  ['the moment as a text', `ALTER TABLE t ALTER a TYPE timestamptz USING 'now'::timestamptz`, /'now'/],
  ['the default of a domain', 'ALTER TABLE t ADD d throw', /a default that need not be the same/],
  ['rows that were never logged', 'ALTER TABLE u SET LOGGED', /unlogged/],
] as const)
  test(`rows written anew with ${what} stop the lane where they are not told`, async () => {
    await using world = await openWorld({
      before: [
        'CREATE TABLE t (a int)',
        'CREATE UNLOGGED TABLE u (a int)',
        'INSERT INTO u VALUES (1)',
        'CREATE DOMAIN throw AS float8 DEFAULT random()',
        'INSERT INTO t VALUES (1)',
      ],
    });
    await world.tellsNoRows();
    await world.primary(text);
    const error = await world.lane.stopped();
    assert.equal(error.code, 'TARGET_SCHEMA_FAILED');
    assert.ok(error.message.includes(text), error.message);
    assert.match(error.message, reason);
  });

test('an empty table takes any new column', async () => {
  await using world = await openWorld({ before: ['CREATE TABLE t (a int)'] });
  await world.primary('ALTER TABLE t ADD s serial, ADD i int GENERATED ALWAYS AS IDENTITY', 'INSERT INTO t VALUES (1)');
  await world.settles();
});

test('a change that nobody can put into words stops the lane; done by hand, it goes on', async () => {
  await using world = await openWorld({
    before: [`CREATE FUNCTION quiet() RETURNS void LANGUAGE sql AS 'CREATE TABLE made (a int PRIMARY KEY)'`],
  });
  await world.primary('SELECT quiet()', 'INSERT INTO made VALUES (1)');
  const { message, hint } = await world.lane.stopped();
  assert.match(message, /CREATE TABLE of public.made/);
  await world.secondary('CREATE TABLE public.made (a int PRIMARY KEY)');
  await paste(world.sides.secondary, hint.slice(hint.indexOf('CREATE')));
  world.lane.resume();
  await world.settles();
});

test('a statement that cannot be told from one that was taken back stops the lane', async () => {
  await using world = await openWorld({ before: ['CREATE TABLE t (a int PRIMARY KEY)'] });
  await world.primary('BEGIN; SAVEPOINT s; ALTER TABLE t ADD b int; ROLLBACK TO s; ALTER TABLE t ADD b text; COMMIT');
  assert.match((await world.lane.stopped()).message, /one of several statements/);
});

test('what is said to be done by hand, and is not, stops the lane again', async () => {
  await using world = await openWorld({ before: ['CREATE TABLE t (a int)', 'INSERT INTO t VALUES (1)'] });
  await world.tellsNoRows();
  await world.primary('ALTER TABLE t ADD r float8 DEFAULT random()');
  const { hint } = await world.lane.stopped();
  await paste(world.sides.secondary, hint.slice(hint.indexOf('CREATE')));
  world.lane.resume();
  assert.match((await world.lane.stopped()).message, /lacks what it has at the primary: column r double precision/);
});

test('what somebody did at the secondary already is taken as done', async () => {
  await using world = await openWorld({ before: ['CREATE TABLE t (a int PRIMARY KEY)'] });
  await world.secondary('ALTER TABLE public.t ADD b int', 'CREATE INDEX t_b ON public.t (b)');
  await world.primary('ALTER TABLE t ADD b int', 'CREATE INDEX t_b ON t (b)', 'INSERT INTO t VALUES (1, 2)');
  await world.settles();
});

test('a column of another type that is there already stops the lane', async () => {
  await using world = await openWorld({ before: ['CREATE TABLE t (a int PRIMARY KEY)'] });
  await world.secondary('ALTER TABLE public.t ADD b text');
  await world.primary('ALTER TABLE t ADD b int');
  assert.match((await world.lane.stopped()).hint, /column b integer/);
});

test('a statement that fails at the secondary stops the lane with all that is known of it', async () => {
  await using world = await openWorld({
    before: ['CREATE TABLE t (a int PRIMARY KEY)', 'CREATE TABLE other (a int PRIMARY KEY)'],
  });
  await world.secondary('DROP TABLE public.other');
  await world.primary('ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES other');
  const error = await world.lane.stopped();
  assert.equal(error.code, 'TARGET_SCHEMA_FAILED');
  assert.match(error.message, /relation "other" does not exist[\s\S]*ALTER TABLE t ADD FOREIGN KEY/);
});

test('a DROP takes at the secondary what it took at the primary, and nothing else', async () => {
  await using world = await openWorld({
    before: [
      'CREATE TABLE t (a serial PRIMARY KEY, b text UNIQUE, c int GENERATED ALWAYS AS IDENTITY, CHECK (a > 0))',
      'CREATE INDEX ON t (lower(b))',
      'CREATE TABLE p (a int PRIMARY KEY) PARTITION BY LIST (a)',
      'CREATE TABLE p_1 PARTITION OF p FOR VALUES IN (1)',
      `CREATE TYPE mood AS ENUM ('sad')`,
      'CREATE TABLE seen (a int)',
    ],
  });
  await world.primary('DROP TABLE t, p CASCADE', 'DROP TYPE mood CASCADE', 'CREATE SCHEMA s', 'DROP SCHEMA s');
  await world.settles();
  await world.secondary('CREATE VIEW public.look AS SELECT a FROM public.seen');
  await world.primary('DROP TABLE seen CASCADE');
  assert.match(
    (await world.lane.stopped()).message,
    /other objects depend on it[\s\S]*DROP TABLE IF EXISTS public.seen$/,
  );
  const steps = world.lane.changes.flatMap((change) => (change.kind === 'ddl' ? change.steps : []));
  assert.deepEqual(
    steps.filter((step) => step.includes('CASCADE')),
    [],
  );
});

test('a tablespace is not asked for at the secondary', async () => {
  await using world = await openWorld({ before: ['CREATE TABLE t (a int NOT NULL)'] });
  await world.primary('ALTER TABLE t ADD CONSTRAINT one UNIQUE (a) USING INDEX TABLESPACE pg_default, ADD b int');
  await world.settles();
  const steps = world.lane.changes.flatMap((change) => (change.kind === 'ddl' ? change.steps : []));
  assert.deepEqual(steps, ['ALTER TABLE t ADD CONSTRAINT one UNIQUE (a) , ADD b int']);
});

for (const [what, reason, made, text] of [
  [
    'a partition attached by an expression',
    /clock_timestamp may say something else/,
    'CREATE TABLE days (at timestamptz) PARTITION BY RANGE (at); CREATE TABLE old (at timestamptz)',
    'ALTER TABLE days ATTACH PARTITION old FOR VALUES FROM (MINVALUE) TO (clock_timestamp())',
  ],
  [
    'an access method that goes with what used it',
    /need not use it at the secondary/,
    'CREATE ACCESS METHOD pile TYPE TABLE HANDLER heap_tableam_handler; CREATE TABLE t (a int) USING pile',
    'DROP ACCESS METHOD pile CASCADE',
  ],
] as const)
  test(`${what} stops the lane`, async () => {
    await using world = await openWorld({ before: [made] });
    await world.primary(text);
    const error = await world.lane.stopped();
    assert.equal(error.code, 'TARGET_SCHEMA_FAILED');
    assert.match(error.message, reason);
  });

test('what a role owns at the secondary alone is not dropped', async () => {
  await using world = await openWorld({ before: ['CREATE ROLE tenant', 'CREATE TABLE t (a int)'] });
  await world.secondary('CREATE TABLE public.theirs (a int)', 'ALTER TABLE public.theirs OWNER TO tenant');
  await world.primary('ALTER TABLE t OWNER TO tenant', 'DROP OWNED BY tenant');
  assert.match(
    (await world.lane.stopped()).message,
    /the role tenant owns other things here[\s\S]*DROP OWNED BY tenant/,
  );
  assert.deepEqual(await run(world.sides.secondary, 'TABLE public.theirs'), []);
});

test('tables that are left out stay out, with what hangs on them, and a publication of some tables takes new ones', async () => {
  await using world = await openWorld({
    before: ['CREATE TABLE t (a int PRIMARY KEY)', 'CREATE TABLE tmp_old (a int)'],
    wanted: ({ name }) => !name.startsWith('tmp_'),
  });
  await world.primary(
    'CREATE TABLE tmp_new (a int PRIMARY KEY)',
    'ALTER TABLE tmp_old ADD b int',
    'CREATE INDEX ON tmp_old (b)',
    'CREATE VIEW tmp_seen AS SELECT * FROM tmp_new',
    'CREATE VIEW tmp_seen_again AS SELECT * FROM tmp_seen',
    'GRANT SELECT ON tmp_old TO PUBLIC',
    'INSERT INTO tmp_new VALUES (1)',
    'CREATE TABLE tmp_made AS SELECT 1 AS x',
    'CREATE TABLE fresh (a int)',
    'INSERT INTO fresh VALUES (1)',
    'UPDATE fresh SET a = 2',
    'DROP TABLE tmp_old',
  );
  await world.lane.caughtUp();
  const names = await run(
    world.sides.secondary,
    `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1`,
  );
  assert.deepEqual(names.flat(), ['fresh', 't', 't_pkey']);
  assert.deepEqual(await run(world.sides.secondary, 'TABLE public.fresh'), [['2']]);
});

test('a message of an application under our name changes nothing', async () => {
  await using world = await openWorld({ before: ['CREATE TABLE t (a int PRIMARY KEY)'] });
  const forged = JSON.stringify({
    event: 'sql_drop',
    tag: 'DROP TABLE',
    dropped: [{ type: 'table', schema: 'public', identity: 'public.t', names: ['public', 't'] }],
    settings: {},
    seal: 'x',
  });
  await world.primary(
    `SELECT pg_logical_emit_message(true, 'changeover.ddl', '${forged}')`,
    `SELECT pg_logical_emit_message(true, 'changeover.ddl', 'no JSON')`,
  );
  await world.settles();
});

test('a statement of the application succeeds where our trigger fails, and the lane stops', async () => {
  await using world = await openWorld();
  await world.primary(
    'DROP FUNCTION changeover.publish',
    'CREATE TABLE t (a int PRIMARY KEY)',
    'INSERT INTO t VALUES (1)',
  );
  const error = await world.lane.stopped();
  assert.match(error.message, /our event trigger failed[\s\S]*CREATE TABLE t/);
});

test('a table without a key can be updated as soon as it is published, also before anything reads', async () => {
  const name = laneName();
  await run(server.url(), `CREATE DATABASE ${name}_a`);
  await using client = await open(server.url(`${name}_a`));
  const names = { slot: `changeover_${name}`, publication: `changeover_${name}` };
  assert.equal(await installTriggers(client, names), true);
  await ensurePublication(client, names.publication, { wanted: () => true });
  for (const text of ['CREATE TABLE public.t (a int)', 'INSERT INTO public.t VALUES (1)']) await client.rows(text);
  await client.rows('UPDATE public.t SET a = 2');
});

test('nobody but the owner can read the seal or call what writes messages', async () => {
  await using world = await openWorld();
  await world.primary(
    `CREATE ROLE stranger_${world.sides.name} LOGIN PASSWORD 'x'`,
    'GRANT CREATE ON SCHEMA public TO PUBLIC',
  );
  const url = urlWith(world.sides.primary, { user: `stranger_${world.sides.name}`, password: 'x' });
  await assert.rejects(run(url, 'TABLE changeover.seal'), /permission denied/);
  await assert.rejects(run(url, `SELECT changeover.emit_ddl('{}')`), /permission denied/);
  await run(
    url,
    'CREATE TABLE public.theirs (a int)',
    'INSERT INTO public.theirs VALUES (1)',
    'UPDATE public.theirs SET a = 2',
  );
  await world.settles();
});

test('without event triggers a row of another shape stops the lane with the statement to run; once they are made, changes flow', async () => {
  await using world = await openWorld({
    before: (name) => [
      `CREATE ROLE poor LOGIN REPLICATION PASSWORD 'x'`,
      'CREATE TABLE t (a int PRIMARY KEY, d numeric(6,2))',
      'GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor',
      `CREATE PUBLICATION changeover_${name} FOR ALL TABLES`,
    ],
    as: { user: 'poor', password: 'x' },
  });
  const { primary, secondary, name } = world.sides;
  for (const [change, row, cure] of [
    ['ALTER TABLE t ADD b int', 'INSERT INTO t VALUES (1, 1.25, 2)', /ADD COLUMN "b" integer/],
    [
      'ALTER TABLE t ALTER d TYPE numeric(8,4)',
      'INSERT INTO t VALUES (2, 1.2345, 2)',
      /ALTER COLUMN "d" TYPE numeric\(8,4\)/,
    ],
  ] as const) {
    await world.primary(change, row);
    const { code, hint } = await world.lane.stopped();
    assert.equal(code, 'TARGET_TABLE_DIFFERS');
    assert.match(hint, cure);
    await paste(secondary, hint.slice(hint.indexOf('ALTER')));
    world.lane.resume();
    await world.settles();
  }
  await using inspector = openSourceInspector({
    url: urlWith(primary, { user: 'poor', password: 'x' }),
    name,
    wanted: () => true,
  });
  const found = async () => (await inspector.check(never)).find(({ check }) => check === 'schema-changes');
  // A person has psql, which knows where a function ends; one text does as well.
  await run(primary, (await found())?.cure ?? '');
  assert.equal(await found(), undefined);
  await world.primary('ALTER TABLE t RENAME b TO c', 'CREATE INDEX ON t (c)', 'INSERT INTO t VALUES (3, 1, 2)');
  await world.settles();
});

test('leaving removes what we made, and tells nothing where no lane reads', async () => {
  await using world = await openWorld();
  const { primary } = world.sides;
  await world.lane[Symbol.asyncDispose]();
  const left = await run(
    primary,
    `SELECT evtname FROM pg_event_trigger UNION ALL SELECT nspname FROM pg_namespace WHERE nspname = 'changeover'`,
  );
  assert.deepEqual(left, []);
  await world.primary('CREATE TABLE t (a int)');
});
