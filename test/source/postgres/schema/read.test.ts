import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { PostgresServer } from '../../../../src/demo/postgres-server.ts';
import type { Connection } from '../../../../src/engine/postgres/connect.ts';
import { isCode } from '../../../../src/error.ts';
import { readSchema } from '../../../../src/source/postgres/schema/read.ts';
import { loadSampleSchema } from '../../../fixtures/sample-schema.ts';
import {
  copied,
  everyTable,
  facts,
  openDatabase,
  rerun,
  runStatements,
  statementsOf,
} from '../../../fixtures/schema-copy.ts';
import { openServer } from '../../../servers/clusters.ts';
import { open, run, urlWith } from '../../../servers/postgres.ts';

let server: PostgresServer;
before(async () => {
  server = await openServer();
});
after(() => server[Symbol.asyncDispose]());

/** All of PostgreSQL's own that need no library of the system. */
const extensions =
  'amcheck autoinc bloom btree_gin btree_gist citext cube dblink dict_int dict_xsyn earthdistance file_fdw fuzzystrmatch hstore insert_username intagg intarray isn lo ltree moddatetime pageinspect pg_buffercache pg_freespacemap pg_prewarm pg_stat_statements pg_surgery pg_trgm pg_visibility pg_walinspect pgcrypto pgrowlocks pgstattuple postgres_fdw refint seg tablefunc tcn tsm_system_rows tsm_system_time unaccent'.split(
    ' ',
  );

/** Counts the queries that go over a connection. */
function counted(connection: Connection): { readonly connection: Connection; readonly count: () => number } {
  let queries = 0;
  const rows: Connection['rows'] = (sql, values) => {
    queries += 1;
    return connection.rows(sql, values);
  };
  return { connection: { ...connection, rows }, count: () => queries };
}

test('of forty extensions in template1 only their names are read, and what users built on them', async () => {
  await using template = await open(server.url('template1'));
  for (const extension of extensions) await template.rows(`CREATE EXTENSION ${extension} WITH SCHEMA public`);
  const script = await readSchema(template, everyTable);
  assert.deepEqual(
    statementsOf(script).map(({ object }) => object),
    ['schema public', ...extensions.toSorted().map((name) => `extension ${name}`)],
  );
  assert.deepEqual(script.leftOut, []);
  await using pair = await copied({
    from: server,
    make: `${extensions.map((name) => `CREATE EXTENSION ${name}`).join(';')};
      CREATE TABLE t (c cube, e earth, h hstore, i isbn13, l ltree[], s seg, t text); CREATE INDEX ON t USING gist (l); CREATE INDEX ON t USING gin (t gin_trgm_ops);
      CREATE INDEX ON t USING bloom (t); CREATE VIEW v AS SELECT * FROM pg_stat_statements; CREATE OPERATOR ## (FUNCTION = cube_union, LEFTARG = cube, RIGHTARG = cube)`,
  });
  assert.deepEqual(await readSchema(pair.copy, everyTable), pair.script);
  assert.deepEqual(await facts(pair.copy), await facts(pair.original));
  assert.deepEqual(pair.script.leftOut, []);
});

test('an extension that was made anew counts as one, plpgsql too', async () => {
  await using pair = await copied({
    from: server,
    make: "DROP EXTENSION plpgsql; CREATE EXTENSION plpgsql; CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN END'",
  });
  assert.ok(statementsOf(pair.script).some(({ object }) => object === 'function public.f()'));
  assert.deepEqual(await rerun(pair.copy, pair.script), []);
});

test('as many queries are asked for three hundred tables as for three', async () => {
  const queriesFor = async (tables: number): Promise<number> => {
    await using database = await openDatabase(server);
    await database.rows(`DO $$ BEGIN FOR i IN 1..${tables} LOOP
      EXECUTE format('CREATE TABLE public.t%s (id serial PRIMARY KEY, a int CHECK (a > 0) REFERENCES public.t%s, b text UNIQUE)', i, i);
      EXECUTE format('CREATE VIEW public.v%s AS SELECT * FROM public.t%s; COMMENT ON TABLE public.t%s IS ''x''; GRANT SELECT ON public.t%s TO PUBLIC', i, i, i, i);
    END LOOP; END $$`);
    const { connection, count } = counted(database);
    const script = await readSchema(connection, everyTable);
    assert.equal(statementsOf(script).filter(({ object }) => object.startsWith('table ')).length, tables);
    return count();
  };
  assert.equal(await queriesFor(300), await queriesFor(3));
});

test('reads within an imported snapshot, read-only: an object made later is not there', async () => {
  await using exporter = await openDatabase(server);
  await loadSampleSchema(exporter);
  await using reader = await open(server.url(exporter.client.database));
  await exporter.rows('BEGIN ISOLATION LEVEL REPEATABLE READ');
  const [[snapshot] = []] = await exporter.rows('SELECT pg_export_snapshot()');
  await reader.rows('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await reader.rows(`SET TRANSACTION SNAPSHOT '${snapshot}'`);
  await run(server.url(exporter.client.database), 'CREATE TABLE shop.later (a int)');
  const script = await readSchema(reader, everyTable);
  assert.ok(!statementsOf(script).some(({ object }) => object === 'table shop.later'));
  assert.ok(statementsOf(script).some(({ object }) => object === 'table shop.customer'));
});

test('needs no more than to read the sequences, and says so without', async () => {
  await using owner = await openDatabase(server);
  await owner.rows("CREATE ROLE reader LOGIN PASSWORD 'p'; CREATE TABLE public.t (id serial PRIMARY KEY)");
  await using reader = await open(
    urlWith(server.url(), { user: 'reader', password: 'p', database: owner.client.database ?? '' }),
  );
  await assert.rejects(readSchema(reader, everyTable), { code: 'SOURCE_PRIVILEGE' });
  await owner.rows('GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO reader');
  await using copy = await openDatabase(server);
  assert.deepEqual(await runStatements(copy, statementsOf(await readSchema(reader, everyTable))), []);
});

for (const gone of ['VIEW shop.open_order CASCADE', 'TABLE shop.audit', 'SEQUENCE shop.untouched'])
  test(`when ${gone} is dropped while it is read, the whole is to be read again`, async () => {
    await using reader = await openDatabase(server);
    await loadSampleSchema(reader);
    await reader.rows('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await reader.rows('SELECT count(*) FROM pg_class');
    await run(server.url(reader.client.database), `DROP ${gone}`);
    await assert.rejects(readSchema(reader, everyTable), (error) => isCode(error, 'SOURCE_FAILED'));
  });
