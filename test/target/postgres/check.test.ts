import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { epoch, offset } from '../../../src/change/position.ts';
import type { ProfileColumn, ProfileTable, SourceProfile } from '../../../src/change/profile.ts';
import type { PostgresServer } from '../../../src/demo/postgres-server.ts';
import type { Finding } from '../../../src/finding.ts';
import { openSourceInspector } from '../../../src/source/postgres/inspect.ts';
import { createCheckpointTableSql, replaceCheckpointSql } from '../../../src/target/postgres/checkpoint.ts';
import { openTargetInspector } from '../../../src/target/postgres/inspect.ts';
import { openPostgresTarget } from '../../../src/target/postgres/open.ts';
import { type Generation, generations, never, open, paste, run, serverOf, urlWith } from '../../servers/postgres.ts';

const column = (name: string, type = 'integer', generated?: string): ProfileColumn => ({ name, type, generated });
const tableOf = (name: string, ...columns: readonly ProfileColumn[]): ProfileTable => ({
  schema: 'public',
  name,
  columns,
});

/** A source like the test servers, with one table. */
const profile: SourceProfile = {
  origin: 'another',
  server: 'another',
  database: '5',
  version: 150_000,
  encoding: 'UTF8',
  collation: { provider: 'libc', collate: 'C', ctype: 'C', locale: undefined, version: undefined },
  extensions: [],
  tables: [tableOf('t', column('a'), column('b', 'text'))],
  roles: [],
};

async function check(url: string, source: SourceProfile | undefined = profile): Promise<readonly Finding[]> {
  await using inspector = openTargetInspector({ url, name: 'lane' });
  return inspector.check(source, never);
}

async function finding(url: string, name: string, source = profile): Promise<Finding> {
  const findings = await check(url, source);
  const found = findings.find((one) => one.check === name);
  assert.ok(found, `no finding ${name} among: ${findings.map((one) => one.check).join(', ')}`);
  assert.equal(found.site, 'secondary');
  return found;
}

interface Case {
  readonly name: string;
  readonly check: string;
  readonly severity: Finding['severity'];
  readonly source?: Partial<SourceProfile>;
  readonly provoke?: readonly string[];
  readonly message?: RegExp;
  /** False: the cure is no SQL. */
  readonly paste?: false;
  readonly from?: Generation;
}

const cases: readonly Case[] = [
  {
    name: 'a column of another type is named with both types',
    check: 'table-differs',
    severity: 'blocker',
    provoke: ['CREATE TABLE public.t (a bigint, b text)'],
    message: /^public\.t differs: column a is integer at the primary and bigint here$/,
  },
  {
    name: 'a missing column and one that the primary does not fill are named together',
    check: 'table-differs',
    severity: 'blocker',
    provoke: ['CREATE TABLE public.t (a int, c int NOT NULL)'],
    message: /column b text is missing here, column c must be given a value/,
  },
  {
    name: 'a column that is generated on one side only differs',
    check: 'table-differs',
    severity: 'blocker',
    source: { tables: [tableOf('t', column('a'), column('b', 'integer', 'GENERATED ALWAYS AS ((a + 1)) STORED'))] },
    provoke: ['CREATE TABLE public.t (a int, b int)'],
    message: /generated at the primary and written here/,
  },
  {
    name: 'a view in the place of a table differs',
    check: 'table-differs',
    severity: 'blocker',
    provoke: ['CREATE VIEW public.t AS SELECT 1 AS a'],
    paste: false,
  },
  {
    name: 'rows that are not ours stop us, and the cure empties tables that refer to each other',
    check: 'not-empty',
    severity: 'blocker',
    source: { tables: [tableOf('t', column('a')), tableOf('u', column('a'))] },
    provoke: [
      'CREATE TABLE public.t (a int PRIMARY KEY)',
      'CREATE TABLE public.u (a int REFERENCES public.t)',
      'INSERT INTO public.t VALUES (1)',
    ],
    message: /in public\.t$/,
  },
  {
    name: 'a trigger that fires for replicated rows is named',
    check: 'triggers',
    severity: 'warning',
    provoke: [
      'CREATE TABLE public.t (a int, b text)',
      'CREATE TRIGGER same BEFORE UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
      'CREATE TRIGGER ordinary BEFORE UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
      'ALTER TABLE public.t ENABLE ALWAYS TRIGGER same',
    ],
    message: /too: same\./,
  },
  {
    name: 'an extension that is available is no obstacle',
    check: 'extension-install',
    severity: 'note',
    source: { extensions: [{ name: 'pgcrypto', version: '1.3', schema: 'crypto' }] },
    from: 'PostgreSQL 15',
  },
  {
    name: 'an extension that this server does not have is a blocker with the name of its package',
    check: 'extension-missing',
    severity: 'blocker',
    source: { extensions: [{ name: 'vector', version: '0.8.0', schema: 'public' }] },
    paste: false,
  },
  {
    name: 'an extension that is older than the primary has it is updated',
    check: 'extension-version',
    severity: 'warning',
    source: { extensions: [{ name: 'pg_trgm', version: '1.6', schema: 'public' }] },
    provoke: ["CREATE EXTENSION pg_trgm WITH SCHEMA public VERSION '1.3'"],
    message: /1\.6 at the primary and older here, 1\.3/,
    from: 'PostgreSQL 15',
  },
  {
    name: 'a role of the primary that is missing is a note',
    check: 'roles',
    severity: 'note',
    source: { roles: ['postgres', 'only_there'] },
  },
  {
    name: 'an older secondary is a warning',
    check: 'version-older',
    severity: 'warning',
    source: { version: 190_000 },
    paste: false,
  },
];

for (const generation of generations)
  suite(`the check of a target, ${generation}`, () => {
    let server: PostgresServer | undefined;
    let databases = 0;
    after(() => server?.[Symbol.asyncDispose]());

    for (const one of cases.filter(({ from }) => from === undefined || from === generation))
      test(one.name, async (t) => {
        server ??= await serverOf(generation, t);
        if (server === undefined) return;
        databases += 1;
        await run(server.url(), `CREATE DATABASE d${databases}`);
        const url = server.url(`d${databases}`);
        await run(url, ...(one.provoke ?? []));
        const source = { ...profile, ...one.source };
        const found = await finding(url, one.check, source);
        assert.equal(found.severity, one.severity);
        if (one.message) assert.match(found.message, one.message);
        await paste(url, found.cure);
        if (one.paste === false) return;
        assert.deepEqual(
          (await check(url, source)).filter((each) => each.check === one.check),
          [],
        );
      });

    test('an empty database of a like server has nothing to mend', async (t) => {
      server ??= await serverOf(generation, t);
      if (server === undefined) return;
      await run(server.url(), 'CREATE DATABASE nothing');
      assert.deepEqual(await check(server.url('nothing')), []);
      assert.deepEqual(await check(server.url('nothing'), undefined), []);
    });

    test('a role with exactly the privileges that the check prints has no blockers, and can then do the work', async (t) => {
      server ??= await serverOf(generation, t);
      if (server === undefined) return;
      await run(server.url(), 'CREATE DATABASE shop', 'REVOKE ALL ON DATABASE shop FROM PUBLIC');
      const admin = server.url('shop');
      await run(
        admin,
        'CREATE SCHEMA sales',
        'CREATE TABLE sales.old (a int)',
        'CREATE TABLE sales.hidden (a int)',
        'ALTER TABLE sales.hidden ENABLE ROW LEVEL SECURITY',
      );
      const sales = ['old', 'hidden', 'missing'].map((name) => ({ schema: 'sales', name, columns: [column('a')] }));
      const source = { ...profile, tables: [...sales, { schema: 'fresh', name: 't', columns: [] }] };
      const url = urlWith(admin, { user: 'writer', password: 'secret' });
      const seen = new Set<string>();
      for (let round = 0; round < 4; round += 1)
        for (const found of (await check(url, source)).filter((one) => one.severity === 'blocker')) {
          seen.add(found.check);
          assert.ok(!found.message.includes('secret') && !found.cure?.includes('secret'));
          await paste(admin, found.cure?.replace(/<the password.*?>/, 'secret'));
        }
      assert.deepEqual(await check(url, source), []);
      const expected = [
        'database-privileges',
        'login',
        'replication-role',
        'row-security',
        'schema-privileges',
        'table-privileges',
      ];
      assert.deepEqual([...seen].toSorted(), expected);
      {
        await using target = await openPostgresTarget({ url, name: 'lane' }, never);
        await using transaction = await target.begin(never);
        await transaction.commit({ stream: 's', epoch: epoch(1), offset: offset(0), position: undefined });
      }
      await using connection = await open(url);
      for (const statement of [
        'SET session_replication_role = replica',
        'INSERT INTO sales.hidden VALUES (1)',
        'TRUNCATE sales.old',
        'CREATE TABLE sales.missing (a int)',
        'CREATE SCHEMA fresh',
        'CREATE TEMPORARY TABLE x ()',
      ])
        await connection.rows(statement);
    });

    test('a secondary that is read-only for everybody else is open to us', async (t) => {
      server ??= await serverOf(generation, t);
      if (server === undefined) return;
      await run(server.url(), 'CREATE DATABASE shut', 'ALTER DATABASE shut SET default_transaction_read_only = on');
      assert.deepEqual(
        (await check(server.url('shut'))).filter((one) => one.severity === 'blocker'),
        [],
      );
      await run(server.url('shut'), 'CREATE TABLE public.ours ()');
    });

    test('an extension that only a superuser may install is a blocker for a lesser role', async (t) => {
      server ??= await serverOf(generation, t);
      if (server === undefined) return;
      const [[name, version] = []] = await run(
        server.url(),
        `SELECT name, version FROM pg_available_extension_versions JOIN pg_available_extensions USING (name)
         WHERE superuser AND NOT trusted AND requires IS NULL AND version = default_version ORDER BY name LIMIT 1`,
      );
      if (!name || !version) return t.skip('this build has no extension for superusers only');
      await run(server.url(), "CREATE ROLE lesser LOGIN PASSWORD 'x'", 'CREATE DATABASE extended');
      const url = urlWith(server.url('extended'), { user: 'lesser', password: 'x' });
      const source = { ...profile, extensions: [{ name, version, schema: 'public' }] };
      const found = await finding(url, 'extension-install', source);
      assert.deepEqual([found.severity, found.code], ['blocker', 'TARGET_PRIVILEGE']);
      await paste(server.url('extended'), found.cure);
      assert.deepEqual(
        (await check(url, source)).filter((one) => one.check.startsWith('extension')),
        [],
      );
    });

    test('rows that came with our checkpoint are ours', async (t) => {
      server ??= await serverOf(generation, t);
      if (server === undefined) return;
      await run(server.url(), 'CREATE DATABASE begun');
      const url = server.url('begun');
      await run(url, 'CREATE TABLE public.t (a int, b text)', 'INSERT INTO public.t VALUES (1)');
      assert.equal((await finding(url, 'not-empty')).code, 'TARGET_NOT_EMPTY');
      const next = { stream: 's', epoch: epoch(1), offset: offset(0), position: undefined };
      const write = replaceCheckpointSql('lane', { previous: undefined, next, drifted: 0 });
      await run(url, ...createCheckpointTableSql, write);
      assert.deepEqual(await check(url), []);
    });

    test('one database on both sides is refused, a neighbour on the same server is not', async (t) => {
      server ??= await serverOf(generation, t);
      if (server === undefined) return;
      await run(server.url(), 'CREATE DATABASE one', 'CREATE DATABASE two');
      await using source = openSourceInspector({ url: server.url('one'), name: 'lane', wanted: () => true });
      const own = await source.profile(never);
      assert.equal((await finding(server.url('one'), 'same-database', own)).severity, 'blocker');
      assert.equal((await finding(server.url('two'), 'same-server', own)).severity, 'note');
      assert.equal((await finding(server.url('one'), 'clone', { ...own, server: 'another' })).severity, 'note');
    });

    test('an encoding or a collation that does not fit has a cure that makes one that does', async (t) => {
      server ??= await serverOf(generation, t);
      if (server === undefined) return;
      await run(server.url(), "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
      const encoding = await finding(server.url('latin'), 'encoding');
      assert.equal(encoding.severity, 'blocker');
      await paste(server.url(), encoding.cure);
      assert.deepEqual(await check(server.url('latin_utf8')), []);
      const unicode = { ...profile, collation: { ...profile.collation, collate: 'C.UTF-8', ctype: 'C.utf8' } };
      await run(server.url(), 'CREATE DATABASE plain');
      const collation = await finding(server.url('plain'), 'collation', unicode);
      assert.equal(collation.severity, 'warning');
      await paste(server.url(), collation.cure);
      assert.deepEqual(await check(server.url('plain_sorted'), unicode), []);
    });
  });
