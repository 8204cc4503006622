import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { PostgresServer } from '../../../../src/demo/postgres-server.ts';
import { type Copied, copied, statementsOf } from '../../../fixtures/schema-copy.ts';
import { openServer } from '../../../servers/clusters.ts';

let server: PostgresServer;
before(async () => {
  server = await openServer();
});
after(() => server[Symbol.asyncDispose]());

/** A copy without the tables that have `secret` in their name. */
const copiedWithoutSecrets = (make: string): Promise<Copied> =>
  copied({ from: server, make, wanted: ({ name }) => !name.includes('secret') });
const objects = ({ script }: Copied, pattern = /./): string[] =>
  statementsOf(script)
    .map(({ object }) => object)
    .filter((object) => object !== 'schema public' && !object.startsWith('owner of ') && pattern.test(object));
const reasons = ({ script }: Copied): string[] => script.leftOut.map(({ object, reason }) => `${object}: ${reason}`);

suite('a table that is not wanted', () => {
  test('is not created, nor what belongs to it, and nobody is told of that', async () => {
    await using pair = await copiedWithoutSecrets(`
      CREATE TABLE secret (id serial PRIMARY KEY, i int GENERATED ALWAYS AS IDENTITY, s text CHECK (s <> '')); CREATE INDEX ON secret (s);
      CREATE TRIGGER t BEFORE UPDATE ON secret FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
      COMMENT ON TABLE secret IS 'x'; GRANT SELECT ON secret TO PUBLIC; ALTER TABLE secret REPLICA IDENTITY FULL, ENABLE ROW LEVEL SECURITY;
      CREATE STATISTICS st ON id, s FROM secret; CREATE POLICY p ON secret USING (true)`);
    assert.deepEqual(objects(pair), []);
    assert.deepEqual(reasons(pair), []);
  });

  test('takes along what depends on it, and that is said', async () => {
    await using pair = await copiedWithoutSecrets(`
      CREATE TABLE secret (id int PRIMARY KEY); CREATE VIEW v AS SELECT * FROM secret; CREATE VIEW vv AS SELECT * FROM v; COMMENT ON VIEW vv IS 'x';
      CREATE FUNCTION f(secret) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE t (id int REFERENCES secret);
      CREATE RULE r AS ON INSERT TO t DO ALSO INSERT INTO secret DEFAULT VALUES; CREATE TABLE row (s secret)`);
    assert.deepEqual(objects(pair), ['table public.t']);
    assert.deepEqual(reasons(pair), [
      'function public.f(public.secret): needs type public.secret, which is not copied',
      'table public."row": needs type public.secret, which is not copied',
      'constraint t_id_fkey of table public.t: needs table public.secret, which is not copied',
      'view public.v: needs table public.secret, which is not copied',
      'view public.vv: needs view public.v, which is not copied',
      'rule r on public.t: needs table public.secret, which is not copied',
    ]);
  });

  test('leaves the sequence that a wanted table uses too', async () => {
    await using pair = await copiedWithoutSecrets(`
      CREATE TABLE secret (id serial, other serial); CREATE TABLE t (id int DEFAULT nextval('secret_id_seq')); SELECT nextval('secret_id_seq')`);
    assert.deepEqual(objects(pair), [
      'sequence public.secret_id_seq',
      'table public.t',
      'value of sequence public.secret_id_seq',
    ]);
  });

  test('may be the parent of one that is wanted, which then stands by itself with all that it had', async () => {
    await using pair = await copiedWithoutSecrets(`
      CREATE TABLE r (id int PRIMARY KEY); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
      CREATE TABLE secret (a int NOT NULL REFERENCES r, CHECK (a > 0)) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF secret (a DEFAULT 1) FOR VALUES IN (1);
      ALTER TABLE secret ADD PRIMARY KEY (a); CREATE INDEX i ON secret (a); CREATE TRIGGER tr AFTER INSERT ON secret FOR EACH ROW EXECUTE FUNCTION f();
      CREATE TABLE secret_parent (x int NOT NULL DEFAULT 2, CHECK (x > 1)); CREATE TABLE child (y int) INHERITS (secret_parent)`);
    const expected = [
      'constraint p1_pkey of table public.p1',
      'index public.p1_a_idx',
      'constraint secret_a_fkey of table public.p1',
      'trigger tr on public.p1',
    ];
    assert.deepEqual(objects(pair, /p1|attach|partition/).slice(1), expected);
    await pair.copy.rows('INSERT INTO public.child (y) VALUES (1)');
    await assert.rejects(pair.copy.rows('INSERT INTO public.child (x) VALUES (0)'), /secret_parent_x_check/);
    assert.deepEqual(reasons(pair), []);
  });

  test('may be a partition of one that is wanted, which does without it', async () => {
    await using pair = await copiedWithoutSecrets(`
      CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TABLE r (id int PRIMARY KEY);
      CREATE TABLE p (a int UNIQUE REFERENCES r) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p_secret PARTITION OF p DEFAULT;
      CREATE INDEX i ON p (a); CREATE TRIGGER tr AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION f(); INSERT INTO r VALUES (1); INSERT INTO p VALUES (1)`);
    assert.deepEqual(objects(pair, /secret/), []);
    const valid = await pair.copy.rows(
      `SELECT bool_and(indisvalid) FROM pg_index WHERE indexrelid IN ('public.i'::regclass, 'public.p_a_key'::regclass)`,
    );
    assert.deepEqual(valid, [['t']]);
    assert.deepEqual(reasons(pair), []);
  });
});

suite('what is never copied', () => {
  test('is named with its reason, and what needs it is left out with it', async () => {
    await using pair = await copiedWithoutSecrets(`
      CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION ev();
      CREATE EXTENSION postgres_fdw; CREATE SERVER sv FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE ft (a int) SERVER sv; CREATE VIEW v AS SELECT * FROM ft;
      CREATE TYPE base; CREATE FUNCTION base_in(cstring) RETURNS base LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
      CREATE FUNCTION base_out(base) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out'; CREATE TYPE base (INPUT = base_in, OUTPUT = base_out, LIKE = int4);
      CREATE TABLE t (b int); CREATE OPERATOR CLASS oc FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 3 =, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
      CREATE INDEX i ON t (b oc); SELECT lo_create(0); ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC; CREATE PUBLICATION pub FOR ALL TABLES`);
    assert.deepEqual(reasons(pair), [
      '1 large objects: large objects are not copied',
      'default privileges on new relations belonging to role postgres: default privileges are not copied',
      'event trigger et: event triggers are not copied',
      'foreign table public.ft: foreign data is not copied',
      'operator class public.oc for access method btree: not copied, except by an extension',
      'operator family public.oc for access method btree: not copied, except by an extension',
      'server sv: foreign data is not copied',
      'type public.base: base types are not copied, except by an extension',
      'function public.base_in(cstring): needs type public.base, which is not copied',
      'function public.base_out(public.base): needs type public.base, which is not copied',
      'index public.i: needs operator class public.oc for access method btree, which is not copied',
      'view public.v: needs foreign table public.ft, which is not copied',
    ]);
    assert.deepEqual(objects(pair), ['extension postgres_fdw', 'function public.ev()', 'table public.t']);
  });

  test('the schema changeover and temporary tables are not even named', async () => {
    await using pair = await copiedWithoutSecrets(
      'CREATE SCHEMA changeover; CREATE TABLE changeover.x (id serial); CREATE TEMP TABLE t (id serial PRIMARY KEY)',
    );
    assert.deepEqual(objects(pair), []);
    assert.deepEqual(reasons(pair), []);
  });

  test('functions that need each other in a circle are left out, with the default that calls one', async () => {
    await using pair = await copiedWithoutSecrets(`
      CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END; CREATE FUNCTION g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT f(); END;
      CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT g(); END; CREATE TABLE t (a int DEFAULT f())`);
    assert.deepEqual(objects(pair), ['table public.t']);
    assert.deepEqual(reasons(pair), [
      'function public.f(): needs itself by way of other objects',
      'function public.g(): needs itself by way of other objects',
      'default of column public.t.a: needs function public.f(), which is not copied',
    ]);
  });

  test('a privilege or policy of a role that the other side does not have is passed over', async () => {
    await using other = await openServer();
    const make = `CREATE ROLE stranger; CREATE TABLE t (a int); GRANT SELECT ON t TO stranger, pg_monitor; ALTER TABLE t ENABLE ROW LEVEL SECURITY;
      CREATE POLICY theirs ON t TO stranger USING (true); CREATE POLICY mixed ON t TO stranger, pg_monitor USING (true);
      CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'; REVOKE ALL ON FUNCTION f() FROM PUBLIC; GRANT EXECUTE ON FUNCTION f() TO stranger`;
    await using pair = await copied({ from: server, to: other, make });
    const [row] = await pair.copy.rows('SELECT polname, polroles::regrole[] FROM pg_policy');
    assert.deepEqual(row, ['mixed', '{pg_monitor}']);
    const [[grants, execute] = []] = await pair.copy.rows(
      `SELECT relacl, (SELECT proacl FROM pg_proc WHERE proname = 'f') FROM pg_class WHERE relname = 't'`,
    );
    assert.equal(grants, '{postgres=arwdDxtm/postgres,pg_monitor=r/postgres}');
    assert.equal(execute, '{postgres=X/postgres}');
  });
});
