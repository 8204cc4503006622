import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { PostgresServer } from '../../../../src/demo/postgres-server.ts';
import type { Connection } from '../../../../src/engine/postgres/connect.ts';
import { copied, rerun } from '../../../fixtures/schema-copy.ts';
import { openServer } from '../../../servers/clusters.ts';

let server: PostgresServer;
before(async () => {
  server = await openServer();
});
after(() => server[Symbol.asyncDispose]());

const make = `
  CREATE SCHEMA "their own"; CREATE TABLE "their own".t (id bigserial PRIMARY KEY, other bigint GENERATED ALWAYS AS IDENTITY, v text);
  CREATE VIEW public.seen AS SELECT * FROM "their own".t; CREATE MATERIALIZED VIEW public.kept AS SELECT * FROM "their own".t;
  CREATE SEQUENCE public.free; CREATE TYPE public.mood AS ENUM ('a'); CREATE DOMAIN public.short AS text CHECK (length(VALUE) < 5);
  CREATE TYPE public.both AS (a int, b text); CREATE TYPE public.span AS RANGE (SUBTYPE = numeric);
  CREATE FUNCTION public.f(a int, b text) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
  CREATE PROCEDURE public.p() LANGUAGE sql AS 'SELECT 1';
  CREATE AGGREGATE public.total (int) (SFUNC = int4pl, STYPE = int);
  CREATE TABLE public.parts (id int) PARTITION BY LIST (id); CREATE TABLE public.part PARTITION OF public.parts FOR VALUES IN (1);
  ALTER SCHEMA "their own" OWNER TO "the app"; ALTER TABLE "their own".t OWNER TO "the app"; ALTER VIEW public.seen OWNER TO "the app";
  ALTER MATERIALIZED VIEW public.kept OWNER TO "the app"; ALTER SEQUENCE public.free OWNER TO "the app"; ALTER TYPE public.mood OWNER TO "the app";
  ALTER DOMAIN public.short OWNER TO "the app"; ALTER TYPE public.both OWNER TO "the app"; ALTER TYPE public.span OWNER TO "the app";
  ALTER FUNCTION public.f OWNER TO "the app"; ALTER PROCEDURE public.p OWNER TO "the app"; ALTER AGGREGATE public.total (int) OWNER TO "the app";
  ALTER TABLE public.part OWNER TO "the app"`;

/** Every object of the users, with its owner. */
const ownersOf = (connection: Connection) =>
  connection.rows(`SELECT * FROM (
      SELECT nspname AS name, nspowner::regrole FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_'
      UNION ALL SELECT oid::regclass::text, relowner::regrole FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'v', 'm', 'S')
      UNION ALL SELECT oid::regprocedure::text, proowner::regrole FROM pg_proc WHERE oid >= 16384
      UNION ALL SELECT oid::regtype::text, typowner::regrole FROM pg_type WHERE oid >= 16384 AND typelem = 0) o ORDER BY name COLLATE "C"`);

test('what a role owns belongs to it in the copy, too', async () => {
  await using pair = await copied({ from: server, make: `CREATE ROLE "the app"; ${make}` });
  const owners = await ownersOf(pair.original);
  assert.ok(owners.filter(([, owner]) => owner === '"the app"').length > 15);
  assert.deepEqual(await ownersOf(pair.copy), owners);
  assert.deepEqual(await rerun(pair.copy, pair.script), []);
});

test('where the owner does not exist, whoever copies owns what he makes', async () => {
  await using other = await openServer();
  await using pair = await copied({
    from: server,
    to: other,
    make: make.replaceAll('"the app"', '"nobody there"').replace(/^/, 'CREATE ROLE "nobody there";'),
  });
  const owners = await ownersOf(pair.copy);
  assert.ok(owners.length > 20);
  assert.ok(owners.every(([, owner]) => owner === 'postgres'));
});

test('what belongs to somebody else there stays his', async () => {
  await using pair = await copied({
    from: server,
    make: 'CREATE ROLE first; CREATE TABLE public.t (id int); ALTER TABLE public.t OWNER TO first',
  });
  await pair.copy.rows('CREATE ROLE second; ALTER TABLE public.t OWNER TO second');
  assert.deepEqual(await rerun(pair.copy, pair.script), []);
  assert.deepEqual(
    (await ownersOf(pair.copy)).filter(([, owner]) => owner !== 'postgres'),
    [
      ['public.t', 'second'],
      ['public.t', 'second'],
    ],
  );
});
