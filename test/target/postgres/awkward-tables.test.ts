import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change } from '../../../src/change/change.ts';
import type { Column, Table } from '../../../src/change/table.ts';
import { type Code, isCode } from '../../../src/error.ts';
import { openPostgresTarget } from '../../../src/target/postgres/open.ts';
import {
  block,
  content,
  insert,
  move,
  remove,
  row,
  snapshotOf,
  truncate,
  update,
  write,
} from '../../conformance/rows.ts';
import { checkpointAt } from '../../conformance/target-under-test.ts';
import { sharedServer } from '../../servers/shared.ts';
import { lane } from './secondary.ts';

/* What tables of PostgreSQL can be that a table of texts is not. */

const server = sharedServer();

/** As the source announces it: `*` behind a name marks a column of the key. */
const shape = (name: string, columns: string, identity: Table['identity'] = 'key'): Table => ({
  schema: 'public',
  name,
  identity,
  columns: columns.split(' ').map((column): Column => {
    const key = column.endsWith('*');
    return { name: key ? column.slice(0, -1) : column, type: '', key };
  }),
});

/** A secondary made by `statements`, and a writer on it. */
async function prepared(statements: readonly string[], signal: AbortSignal) {
  const database = await server.database();
  for (const statement of statements) await database.connection.rows(statement);
  const target = await openPostgresTarget({ url: database.url, name: lane }, signal);
  let at = 0;
  return {
    ...database,
    target,
    async write(changes: readonly Change[], order: 'kept' | 'net' = 'kept'): Promise<void> {
      await using transaction = await target.begin(signal);
      await write(transaction, changes, order);
      await transaction.commit(checkpointAt((at += 1)));
    },
    /** As apply does: net, and the way back. */
    async writeEither(net: readonly Change[], originals: readonly Change[] = net): Promise<void> {
      await using transaction = await target.begin(signal);
      await write(transaction, net, 'net').catch((error: unknown) => {
        if (!isCode(error, 'TARGET_CONFLICT')) throw error;
        return write(transaction, originals, 'kept');
      });
      await transaction.commit(checkpointAt((at += 1)));
    },
    rows: async (sql: string) => content(...(await database.connection.rows(sql))),
    async drifted() {
      const [found] = await database.connection.rows('SELECT drifted FROM changeover.checkpoint');
      return Number(found?.[0]);
    },
    async [Symbol.asyncDispose]() {
      await target[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

const rejects = (promise: Promise<unknown>, code: Code): Promise<void> =>
  assert.rejects(promise, (error) => isCode(error, code) || assert.fail(String(error)));

test('an identity that is always generated takes the values of the primary, as a key and beside one', async ({
  signal,
}) => {
  await using on = await prepared(
    [
      'CREATE TABLE public.a (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)',
      'CREATE TABLE public.b (code text PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, v text)',
    ],
    signal,
  );
  const [a, b] = [shape('a', 'id* v'), shape('b', 'code* n v')];
  await on.write([insert(a, '5', 'x'), insert(a, '6', 'y'), insert(b, 'k', '7', 'x'), insert(b, 'l', '8', 'y')]);
  await on.write([update(a, '5', 'z'), update(b, 'k', '7', 'z'), update(b, 'l', '8', 'unchanged')]);
  await on.write([update(a, '6', 'unchanged'), move(a, '5', '50', 'unchanged')]);
  await on.write([update(a, '50', 'net'), update(b, 'k', '7', 'net'), update(b, 'l', '8', 'unchanged')], 'net');
  assert.deepEqual(await on.rows('SELECT * FROM public.a'), content(['50', 'net'], ['6', 'y']));
  assert.deepEqual(await on.rows('SELECT * FROM public.b'), content(['k', '7', 'net'], ['l', '8', 'y']));
  assert.equal(await on.drifted(), 0);
});

test('an identity beside the key that was generated anew replaces the row, which keeps what was not sent', async ({
  signal,
}) => {
  await using on = await prepared(
    ['CREATE TABLE public.b (code text PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, v text)'],
    signal,
  );
  const b = shape('b', 'code* n v');
  await on.write([insert(b, 'k', '7', 'x'), insert(b, 'l', '8', 'y')]);
  await on.write([update(b, 'k', '70', 'unchanged')]);
  await on.writeEither([update(b, 'l', '80', 'z')]);
  assert.deepEqual(await on.rows('SELECT * FROM public.b'), content(['k', '70', 'x'], ['l', '80', 'z']));
  assert.equal(await on.drifted(), 0);
});

test('a missing row with an identity beside its key is written once', async ({ signal }) => {
  await using on = await prepared(
    ['CREATE TABLE public.b (code text PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, v text)'],
    signal,
  );
  await on.write([update(shape('b', 'code* n v'), 'k', '7', 'x')]);
  assert.deepEqual(await on.rows('SELECT * FROM public.b'), content(['k', '7', 'x']));
  assert.equal(await on.drifted(), 1);
});

test('a whole row with an identity that is always generated is found and changed', async ({ signal }) => {
  await using on = await prepared(
    ['CREATE TABLE public.c (n int GENERATED ALWAYS AS IDENTITY, v text)', 'INSERT INTO public.c (v) VALUES (NULL)'],
    signal,
  );
  const c = shape('c', 'n v', 'full');
  await on.write([insert(c, '9', 'x'), insert(c, '9', 'x')]);
  await on.write([{ kind: 'update', table: c, before: row('9', 'x'), after: row('9', 'y') }]);
  await on.write([{ kind: 'update', table: c, before: row('9', 'x'), after: row('10', 'unchanged') }]);
  await on.write([{ kind: 'delete', table: c, before: row('1', null) }]);
  assert.deepEqual(await on.rows('SELECT * FROM public.c'), content(['9', 'y'], ['10', 'x']));
  assert.equal(await on.drifted(), 0);
});

test('a table of nothing but its generated key', async ({ signal }) => {
  await using on = await prepared(['CREATE TABLE public.d (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)'], signal);
  const d = shape('d', 'id*');
  await on.write([insert(d, '1'), insert(d, '2'), update(d, '1'), move(d, '2', '3')]);
  await on.write([update(d, '1'), insert(d, '4')], 'net');
  assert.deepEqual(await on.rows('SELECT * FROM public.d'), content(['1'], ['3'], ['4']));
});

test('generated columns are computed here, whether the primary sends them or not', async ({ signal }) => {
  await using on = await prepared(
    ['CREATE TABLE public.g (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED)'],
    signal,
  );
  const [without, sent] = [shape('g', 'id* a'), shape('g', 'id* a twice')];
  await on.write([snapshotOf(without), block(without, ['1', '1'])]);
  await on.write([insert(without, '2', '2'), insert(sent, '3', '3', '6')]);
  await on.write([update(without, '1', '10'), update(without, '2', '20')], 'net');
  await on.write([update(sent, '3', '30', '60'), insert(sent, '4', '40', '80')], 'net');
  assert.deepEqual(
    await on.rows('SELECT * FROM public.g'),
    content(['1', '10', '20'], ['2', '20', '40'], ['3', '30', '60'], ['4', '40', '80']),
  );
});

test('a unique constraint that waits for the commit is kept', async ({ signal }) => {
  await using on = await prepared(
    ['CREATE TABLE public.u (id int PRIMARY KEY, code text UNIQUE DEFERRABLE INITIALLY DEFERRED)'],
    signal,
  );
  const u = shape('u', 'id* code');
  await on.write([insert(u, '1', 'a'), insert(u, '2', 'b')]);
  await on.write([update(u, '1', 'b'), update(u, '2', 'a')]);
  await on.write([update(u, '1', 'a'), update(u, '2', 'b')], 'net');
  assert.deepEqual(await on.rows('SELECT * FROM public.u'), content(['1', 'a'], ['2', 'b']));
});

test('names with quotes, blanks, capitals and signs are only names', async ({ signal }) => {
  await using on = await prepared(
    [
      'CREATE SCHEMA "Größe ""q"" 🎞"',
      `CREATE TABLE "Größe ""q"" 🎞"."Tab'le $1 \\x" ("I d" int PRIMARY KEY, "va""l;--" text, "🎞" text)`,
    ],
    signal,
  );
  const columns = ['I d', 'va"l;--', '🎞'].map((name, index) => ({ name, type: '', key: index === 0 }));
  const odd: Table = { schema: 'Größe "q" 🎞', name: String.raw`Tab'le $1 \x`, identity: 'key', columns };
  await on.write([snapshotOf(odd), block(odd, ['1', 'a', 'b'])]);
  await on.write([insert(odd, '2', 'c', 'd'), update(odd, '1', 'e', 'unchanged')]);
  await on.write([update(odd, '1', 'f', 'unchanged'), remove(odd, '2'), insert(odd, '3', 'g', 'h')], 'net');
  assert.deepEqual(
    await on.rows(String.raw`SELECT * FROM "Größe ""q"" 🎞"."Tab'le $1 \x"`),
    content(['1', 'f', 'b'], ['3', 'g', 'h']),
  );
  await on.write([truncate(odd)]);
  assert.deepEqual(await on.rows(String.raw`SELECT * FROM "Größe ""q"" 🎞"."Tab'le $1 \x"`), []);
});

/** Types of a key: how to make it, and two values of it. */
const keyTypes: Record<string, readonly [make: string, one: string, two: string]> = {
  'public.mood': [`CREATE TYPE public.mood AS ENUM ('sad', 'so so')`, 'sad', 'so so'],
  'public.code': [`CREATE DOMAIN public.code AS varchar(9) NOT NULL CHECK (VALUE <> '')`, 'a', 'A'],
  'public.feeling': [
    `CREATE TYPE public.mood2 AS ENUM ('x', 'y'); CREATE DOMAIN public.feeling AS public.mood2 NOT NULL`,
    'x',
    'y',
  ],
  'public.deeper': [
    'CREATE DOMAIN public.deep AS int NOT NULL; CREATE DOMAIN public.deeper AS public.deep NOT NULL CHECK (VALUE > 0)',
    '1',
    '2',
  ],
  'public.pair': ['CREATE TYPE public.pair AS (a int, b text)', '(1,"x y")', '(1,)'],
  'int[]': ['', '{1,2}', '{1,NULL}'],
  int4range: ['', '[1,3)', '[3,)'],
  int4multirange: ['', '{[1,3)}', '{}'],
  'varchar(5)': ['', 'a', 'A '],
  'char(5)': ['', 'a    ', 'b    '],
  'numeric(10,2)': ['', '1.00', '1.01'],
  'double precision': ['', '1e-320', 'NaN'],
  timestamptz: ['', '2024-02-29 12:00:00.000001+00', 'infinity'],
  interval: ['', '1 mon', '31 days'],
  bytea: ['', '\\x00ff', '\\x'],
  uuid: ['', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002'],
  inet: ['', '10.0.0.1', '10.0.0.1/8'],
  jsonb: ['', '{"a": 1}', '[]'],
  oid: ['', '1', '4294967295'],
  '"char"': ['', 'a', 'b'],
  name: ['', 'a', 'A'],
  'bit(3)': ['', '101', '001'],
};

test('a key of any type that can be one is found, in its order and as a set', async ({ signal }) => {
  const types = Object.entries(keyTypes);
  const tables = types.map((_, index) => `CREATE TABLE public.t${index} (k ${types[index]?.[0]} PRIMARY KEY, v text)`);
  const made = types.flatMap(([, [make]]) => make.split('; ')).filter(Boolean);
  await using on = await prepared([...made, ...tables], signal);
  for (const [index, [type, [, one, two]]] of types.entries()) {
    const table = shape(`t${index}`, 'k* v');
    await on.write([insert(table, one, 'a'), insert(table, two, 'b'), update(table, one, 'c'), remove(table, two)]);
    await on.write([insert(table, two, 'd'), update(table, one, 'unchanged')], 'net');
    await on.write([update(table, two, 'e'), remove(table, one)], 'net');
    await on.write([move(table, two, one, 'unchanged')]);
    assert.deepEqual(await on.rows(`SELECT * FROM public.t${index}`), content([one, 'e']), type);
  }
  assert.equal(await on.drifted(), 0);
});

test('a key that ignores case is found however it is written', async ({ signal }) => {
  await using on = await prepared(
    ['CREATE EXTENSION citext SCHEMA public', 'CREATE TABLE public.c (k public.citext PRIMARY KEY, v text)'],
    signal,
  );
  const c = shape('c', 'k* v');
  await on.write([insert(c, 'Key', 'a'), insert(c, 'other', 'b')]);
  await on.write([move(c, 'Key', 'KEY', 'unchanged'), update(c, 'KEY', 'c')]);
  await on.write([update(c, 'KEY', 'd'), remove(c, 'other')], 'net');
  assert.deepEqual(await on.rows('SELECT * FROM public.c'), content(['KEY', 'd']));
  assert.equal(await on.drifted(), 0);
});

test('without a key, a row is found by exactly what it shows, not by what its type calls equal', async ({ signal }) => {
  await using on = await prepared(
    [
      'CREATE EXTENSION citext SCHEMA public',
      'CREATE TABLE public.k (n numeric, c public.citext, j json, x xml, p point, f float8)',
    ],
    signal,
  );
  const k = shape('k', 'n c j x p f', 'full');
  const rows = [
    ['1.0', 'a', '{"a":1}', '<a/>', '(1,2)', '0'],
    ['1.00', 'a', '{"a":1}', '<a/>', '(1,2)', '0'],
    ['1.0', 'A', '{"a":1}', '<a/>', '(1,2)', '0'],
    ['1.0', 'a', '{"a": 1}', '<a/>', '(1,2)', '-0'],
    [null, null, null, null, null, null],
  ];
  for (const gone of rows) {
    await on.write([truncate(k), ...rows.map((values) => insert(k, ...values))]);
    await on.write([{ kind: 'delete', table: k, before: row(...gone) }]);
    assert.deepEqual(
      await on.rows('SELECT n, c, j, x, p, f FROM public.k'),
      content(...rows.filter((values) => values !== gone)),
    );
  }
  assert.equal(await on.drifted(), 0);
});

test('a key that is not unique here stops the lane before it changes two rows', async ({ signal }) => {
  await using on = await prepared(
    ['CREATE TABLE public.t (id int, v text)', `INSERT INTO public.t VALUES (1, 'a'), (1, 'b')`],
    signal,
  );
  const t = shape('t', 'id* v');
  for (const change of [update(t, '1', 'c'), remove(t, '1')]) {
    await rejects(on.write([change]), 'TARGET_TABLE_DIFFERS');
    await rejects(on.writeEither([change]), 'TARGET_TABLE_DIFFERS');
  }
  assert.deepEqual(await on.rows('SELECT * FROM public.t'), content(['1', 'a'], ['1', 'b']));
});

test('triggers and foreign keys of the secondary do not act again', async ({ signal }) => {
  await using on = await prepared(
    [
      'CREATE TABLE public.parent (id int PRIMARY KEY)',
      'CREATE TABLE public.child (id int PRIMARY KEY, parent int REFERENCES public.parent ON DELETE CASCADE)',
      `CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'again'; END $$`,
      'CREATE TRIGGER no BEFORE INSERT OR UPDATE OR DELETE ON public.child EXECUTE FUNCTION public.no()',
    ],
    signal,
  );
  const [parent, child] = [shape('parent', 'id*'), shape('child', 'id* parent')];
  await on.write([insert(child, '1', '1'), insert(parent, '1')]);
  await on.write([insert(child, '2', '1'), insert(parent, '2')], 'net');
  await on.write([remove(parent, '1')]);
  assert.deepEqual(await on.rows('SELECT * FROM public.child'), content(['1', '1'], ['2', '1']));
});

test('a truncate reaches no table that the primary did not name, and those that it named also through their keys', async ({
  signal,
}) => {
  await using on = await prepared(
    [
      'CREATE TABLE public.a (id int PRIMARY KEY)',
      'CREATE TABLE public.b (id int PRIMARY KEY, a int REFERENCES public.a) PARTITION BY RANGE (id)',
      'CREATE TABLE public.b1 PARTITION OF public.b FOR VALUES FROM (1) TO (9)',
      'CREATE TABLE public.theirs (id int PRIMARY KEY, a int REFERENCES public.a)',
      'INSERT INTO public.a VALUES (1)',
      'INSERT INTO public.theirs VALUES (1, 1)',
    ],
    signal,
  );
  const [a, b1] = [shape('a', 'id*'), shape('b1', 'id* a')];
  await on.write([insert(b1, '1', '1'), { ...truncate(a, b1), cascade: true, restartIdentity: true }, insert(a, '2')]);
  assert.deepEqual(await on.rows('SELECT * FROM public.theirs'), content(['1', '1']));
  assert.deepEqual(await on.rows('SELECT * FROM public.a'), content(['2']));
  assert.deepEqual(await on.rows('SELECT * FROM public.b'), []);
});

test('what was flushed is on the disk of the secondary', async ({ signal }) => {
  await using on = await prepared(['CREATE TABLE public.t (id int PRIMARY KEY)'], signal);
  // Nobody else carries it there meanwhile.
  await on.connection.rows(`ALTER SYSTEM SET wal_writer_delay = '10s'`);
  await on.connection.rows('SELECT pg_reload_conf()');
  const behind = async (): Promise<boolean> => {
    const [found] = await on.connection.rows('SELECT pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()');
    return found?.[0] === 't';
  };
  for (let id = 1; !(await behind()); id += 1) await on.write([insert(shape('t', 'id*'), String(id))]);
  await on.target.flush();
  assert.equal(await behind(), false);
});

test('more tables than staging tables are kept for are written all the same', async ({ signal }) => {
  const tables = Array.from({ length: 70 }, (_, index) => shape(`t${index}`, 'id* v'));
  await using on = await prepared(
    tables.map(({ name }) => `CREATE TABLE public.${name} (id int PRIMARY KEY, v text)`),
    signal,
  );
  await on.write(tables.map((table) => insert(table, '1', 'a')));
  for (const value of ['b', 'c']) {
    await on.write(
      tables.map((table) => update(table, '1', value)),
      'net',
    );
    await rejects(
      on.write(
        [...tables.toReversed().map((table) => update(table, '1', 'x')), remove(tables[9] ?? shape('', ''), '2')],
        'net',
      ),
      'TARGET_CONFLICT',
    );
  }
  for (const { name } of tables) assert.deepEqual(await on.rows(`SELECT * FROM public.${name}`), content(['1', 'c']));
});

test('a commit that a deferred constraint refuses leaves nothing, and the next transaction works', async ({
  signal,
}) => {
  await using on = await prepared(
    [
      'CREATE TABLE public.t (id int PRIMARY KEY, v text)',
      `CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql
       AS $$ BEGIN IF NEW.v = 'no' THEN RAISE unique_violation; END IF; RETURN NEW; END $$`,
      `CREATE CONSTRAINT TRIGGER no AFTER UPDATE ON public.t DEFERRABLE INITIALLY DEFERRED
       FOR EACH ROW EXECUTE FUNCTION public.no()`,
      'ALTER TABLE public.t ENABLE ALWAYS TRIGGER no',
    ],
    signal,
  );
  const t = shape('t', 'id* v');
  await on.write([insert(t, '1', 'a')]);
  await rejects(on.write([update(t, '1', 'no')], 'net'), 'TARGET_CONFLICT');
  assert.deepEqual((await on.target.checkpoint(signal))?.offset, 1);
  await on.write([update(t, '1', 'yes')], 'net');
  assert.deepEqual(await on.rows('SELECT * FROM public.t'), content(['1', 'yes']));
});
