import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import type { PostgresServer } from '../../../src/demo/postgres-server.ts';
import type { Finding } from '../../../src/finding.ts';
import { openSourceInspector } from '../../../src/source/postgres/inspect.ts';
import { postgresSource } from '../../../src/source/postgres/open.ts';
import { type Generation, generations, never, open, paste, run, serverOf, urlWith } from '../../servers/postgres.ts';

const everything = ({ name }: { name: string }): boolean => name !== 'unwanted';

async function check(url: string, more: { walBudgetBytes?: number } = {}): Promise<readonly Finding[]> {
  await using inspector = openSourceInspector({ url, name: 'lane', wanted: everything, ...more });
  return inspector.check(never);
}

async function finding(url: string, name: string): Promise<Finding> {
  const findings = await check(url);
  const found = findings.find((one) => one.check === name);
  assert.ok(found, `no finding ${name} among: ${findings.map((one) => one.check).join(', ')}`);
  assert.equal(found.site, 'primary');
  return found;
}

/** Asserts the finding, pastes its cure, and asserts that it is gone. */
async function cures(url: string, name: string, severity: Finding['severity'], as = url): Promise<Finding> {
  const found = await finding(url, name);
  assert.equal(found.severity, severity, found.message);
  await paste(as, found.cure);
  assert.deepEqual(
    (await check(url)).filter((one) => one.check === name),
    [],
  );
  return found;
}

interface Case {
  readonly name: string;
  readonly check: string;
  readonly severity: Finding['severity'];
  /** Run in a database of its own. */
  readonly provoke: readonly string[];
  /** Refused before the cure, accepted after it. */
  readonly thenWorks?: string;
  readonly cure?: RegExp;
  readonly from?: Generation;
}

const publish = 'CREATE PUBLICATION changeover_lane FOR ALL TABLES';

const cases: readonly Case[] = [
  {
    name: 'a table without a key is named before PostgreSQL fails its updates',
    check: 'replica-identity',
    severity: 'warning',
    provoke: ['CREATE TABLE public.t (a int)', publish, 'INSERT INTO public.t VALUES (1)'],
    thenWorks: 'UPDATE public.t SET a = 2',
    cure: /REPLICA IDENTITY FULL/,
  },
  {
    name: 'a table without a key that is updated already is a blocker: replication would break the application',
    check: 'replica-identity',
    severity: 'blocker',
    provoke: [
      'CREATE TABLE public.t (a int)',
      'INSERT INTO public.t VALUES (1)',
      'UPDATE public.t SET a = 2',
      'CREATE PUBLICATION changeover_lane FOR TABLE public.t',
    ],
    thenWorks: 'UPDATE public.t SET a = 3',
  },
  {
    name: 'a table without a key that we may alter ourselves is a warning, updated or not',
    check: 'replica-identity',
    severity: 'warning',
    provoke: ['CREATE TABLE public.t (a int)', 'INSERT INTO public.t VALUES (1)', 'UPDATE public.t SET a = 2'],
  },
  {
    name: 'a table that nobody wants but that the publication covers is named too',
    check: 'replica-identity',
    severity: 'blocker',
    provoke: [
      'CREATE TABLE public.unwanted (a int)',
      'INSERT INTO public.unwanted VALUES (1)',
      'UPDATE public.unwanted SET a = 2',
      publish,
    ],
    thenWorks: 'UPDATE public.unwanted SET a = 3',
  },
  {
    name: 'a fitting unique index is preferred to whole rows, an unfitting one is not',
    check: 'replica-identity',
    severity: 'warning',
    provoke: [
      'CREATE TABLE public.t (a int NOT NULL, b int NOT NULL, c int)',
      'CREATE UNIQUE INDEX a_partial ON public.t (a) WHERE a > 0',
      'CREATE UNIQUE INDEX b_expression ON public.t ((a + 1))',
      'CREATE UNIQUE INDEX c_nullable ON public.t (c)',
      'ALTER TABLE public.t ADD CONSTRAINT d_deferrable UNIQUE (b) DEFERRABLE',
      'CREATE UNIQUE INDEX e_fits ON public.t (a, b)',
      publish,
      'INSERT INTO public.t VALUES (1, 1)',
    ],
    thenWorks: 'UPDATE public.t SET a = 2',
    cure: /USING INDEX "e_fits"/,
  },
  {
    name: 'a deferrable primary key identifies no rows',
    check: 'replica-identity',
    severity: 'warning',
    provoke: ['CREATE TABLE public.t (a int PRIMARY KEY DEFERRABLE)', publish, 'INSERT INTO public.t VALUES (1)'],
    thenWorks: 'UPDATE public.t SET a = 2',
  },
  {
    name: 'REPLICA IDENTITY NOTHING goes back to the primary key',
    check: 'replica-identity',
    severity: 'warning',
    provoke: [
      'CREATE TABLE public.t (a int PRIMARY KEY)',
      'ALTER TABLE public.t REPLICA IDENTITY NOTHING',
      publish,
      'INSERT INTO public.t VALUES (1)',
    ],
    thenWorks: 'UPDATE public.t SET a = 2',
    cure: /REPLICA IDENTITY DEFAULT/,
  },
  {
    name: 'whole rows with a generated column identify nothing from PostgreSQL 18 on',
    check: 'replica-identity',
    severity: 'warning',
    provoke: [
      'CREATE TABLE public.t (a int, b int GENERATED ALWAYS AS (a + 1) STORED)',
      'ALTER TABLE public.t REPLICA IDENTITY FULL',
      publish,
      'INSERT INTO public.t VALUES (1)',
    ],
    thenWorks: 'UPDATE public.t SET a = 2',
    from: 'PostgreSQL 18',
  },
  {
    name: 'a generated column in the key identifies nothing from PostgreSQL 18 on',
    check: 'replica-identity',
    severity: 'warning',
    provoke: [
      'CREATE TABLE public.t (a int, b int GENERATED ALWAYS AS (a + 1) STORED PRIMARY KEY)',
      publish,
      'INSERT INTO public.t VALUES (1)',
    ],
    thenWorks: 'UPDATE public.t SET a = 2',
    from: 'PostgreSQL 18',
  },
  {
    name: 'an unlogged table is not replicated',
    check: 'unlogged-tables',
    severity: 'warning',
    provoke: ['CREATE UNLOGGED TABLE public.t (a int PRIMARY KEY)'],
  },
  {
    name: 'a publication that leaves out deletes is a silent gap',
    check: 'publication-operations',
    severity: 'blocker',
    provoke: [`${publish} WITH (publish = 'insert, update')`],
  },
  {
    name: 'a publication by partition root would rename rows',
    check: 'publication-root',
    severity: 'blocker',
    provoke: [`${publish} WITH (publish_via_partition_root = true)`],
  },
  {
    name: 'a row filter hides changes',
    check: 'publication-filters',
    severity: 'blocker',
    provoke: [
      'CREATE TABLE public.t (a int PRIMARY KEY)',
      'CREATE PUBLICATION changeover_lane FOR TABLE public.t WHERE (a > 0)',
    ],
  },
  {
    name: 'a column list hides values',
    check: 'publication-filters',
    severity: 'blocker',
    provoke: [
      'CREATE TABLE public.t (a int PRIMARY KEY, b int)',
      'CREATE PUBLICATION changeover_lane FOR TABLE public.t (a)',
    ],
  },
  {
    name: 'a table outside the publication is named, also a partition',
    check: 'publication-tables',
    severity: 'blocker',
    provoke: [
      'CREATE TABLE public.t (a int PRIMARY KEY)',
      'CREATE TABLE public.p (a int PRIMARY KEY) PARTITION BY RANGE (a)',
      'CREATE TABLE public.p1 PARTITION OF public.p DEFAULT',
      'CREATE TABLE public.covered (a int PRIMARY KEY)',
      'CREATE PUBLICATION changeover_lane FOR TABLE public.covered',
    ],
    cure: /"p1",\s+"public"."t"/,
  },
  {
    name: 'an open prepared transaction keeps the slot waiting',
    check: 'prepared-transactions',
    severity: 'warning',
    provoke: [
      'CREATE TABLE public.t (a int PRIMARY KEY)',
      "BEGIN; INSERT INTO public.t VALUES (1); PREPARE TRANSACTION 'it''s'",
    ],
  },
  {
    name: 'a slot of another plugin under our name is not touched unasked',
    check: 'slot-foreign',
    severity: 'blocker',
    provoke: ["SELECT pg_create_physical_replication_slot('changeover_lane')"],
  },
];

for (const generation of generations)
  suite(`the check of a source, ${generation}`, () => {
    let server: PostgresServer | undefined;
    let databases = 0;
    after(() => server?.[Symbol.asyncDispose]());

    for (const one of cases.filter(({ from }) => from === undefined || from === generation))
      test(one.name, async (t) => {
        server ??= await serverOf(generation, t, { max_prepared_transactions: '5' });
        if (server === undefined) return;
        databases += 1;
        await run(server.url(), `CREATE DATABASE d${databases}`);
        const url = server.url(`d${databases}`);
        await run(url, ...one.provoke);
        if (one.thenWorks !== undefined) await assert.rejects(run(url, one.thenWorks), { code: 'SOURCE_FAILED' });
        const { cure } = await cures(url, one.check, one.severity);
        if (one.cure) assert.match(cure ?? '', one.cure);
        if (one.thenWorks !== undefined) await run(url, one.thenWorks);
      });

    test('a role with exactly the privileges that the check prints has no blockers, and can then do the work', async (t) => {
      server ??= await serverOf(generation, t, { max_prepared_transactions: '5' });
      if (server === undefined) return;
      await run(server.url(), 'CREATE DATABASE shop', 'REVOKE CONNECT ON DATABASE shop FROM PUBLIC');
      const admin = server.url('shop');
      await run(
        admin,
        'CREATE SCHEMA sales',
        'CREATE TABLE sales.orders (id int PRIMARY KEY)',
        'CREATE TABLE sales.lines (id int, n int, PRIMARY KEY (id, n)) PARTITION BY HASH (id)',
        'CREATE TABLE sales.lines_0 PARTITION OF sales.lines FOR VALUES WITH (MODULUS 1, REMAINDER 0)',
        'ALTER TABLE sales.orders ENABLE ROW LEVEL SECURITY',
        'ALTER TABLE sales.orders ADD COLUMN number int GENERATED ALWAYS AS IDENTITY',
        'CREATE TABLE sales.unwanted (id int GENERATED ALWAYS AS IDENTITY)',
        'CREATE SCHEMA tills',
        'CREATE SEQUENCE tills.receipt',
      );
      const url = urlWith(admin, { user: 'clerk', password: 'secret' });
      const seen = new Set<string>();
      for (let round = 0; round < 4; round += 1) {
        for (const found of (await check(url)).filter((one) => one.severity === 'blocker')) {
          seen.add(found.check);
          assert.ok(!found.message.includes('secret') && !found.cure?.includes('secret'));
          await paste(admin, found.cure?.replace(/<the password.*?>/, 'secret'));
        }
      }
      assert.deepEqual(
        (await check(url)).filter((one) => one.severity === 'blocker'),
        [],
      );
      assert.deepEqual([...seen].toSorted(), [
        'login',
        'publication',
        'role-replication',
        'row-security',
        'schema-privileges',
        'sequence-privileges',
        'table-privileges',
      ]);
      await using source = postgresSource({ url, name: 'lane', wanted: everything, heartbeatMs: 1000 });
      const copied: string[] = [];
      for await (const piece of source.snapshot({ again: false }, never))
        for (const change of piece.changes)
          if (change.kind === 'snapshot') copied.push(...change.tables.map((table) => table.name));
      assert.deepEqual(copied, ['lines_0', 'orders']);
      const rows = await run(admin, `SELECT schemaname || '.' || tablename FROM pg_publication_tables ORDER BY 1`);
      assert.deepEqual(rows.flat(), ['sales.lines_0', 'sales.orders']);
      await using inspector = openSourceInspector({ url, name: 'lane', wanted: everything });
      await inspector.mark(never);
      assert.ok((await inspector.observe(never)).retainedBytes > 0);
      await inspector.forget(never);
    });

    test('functions that an administrator closed are opened again', async (t) => {
      server ??= await serverOf(generation, t, { max_prepared_transactions: '5' });
      if (server === undefined) return;
      const admin = server.url();
      await run(
        admin,
        "CREATE ROLE caller LOGIN REPLICATION PASSWORD 'x'",
        'REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC',
      );
      await cures(urlWith(admin, { user: 'caller', password: 'x' }), 'function-privileges', 'blocker', admin);
      await run(admin, 'GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC');
    });

    test('what keeps us out is a finding, with its cure', async (t) => {
      server ??= await serverOf(generation, t, { max_prepared_transactions: '5' });
      if (server === undefined) return;
      const admin = server.url();
      await run(admin, "CREATE ROLE guest LOGIN PASSWORD 'other'", 'CREATE DATABASE closed');
      const url = urlWith(admin, { user: 'guest', password: 'mine', database: 'closed' });
      const login = await finding(url, 'login');
      assert.deepEqual([login.severity, login.code], ['blocker', 'SOURCE_LOGIN_REFUSED']);
      await paste(admin, login.cure?.replace(/<the password.*?>/, 'mine'));
      assert.equal(
        (await check(url)).some((one) => one.check === 'login'),
        false,
      );
      await run(admin, 'REVOKE CONNECT ON DATABASE closed FROM PUBLIC');
      assert.equal((await cures(url, 'login', 'blocker', admin)).code, 'SOURCE_PRIVILEGE');
      await cures(urlWith(admin, { database: 'missing' }), 'login', 'blocker', admin);
      await run(admin, 'ALTER ROLE guest CONNECTION LIMIT 0');
      assert.equal((await cures(url, 'connections', 'blocker', admin)).code, 'SOURCE_BUSY');
    });

    test('a slot in use, a temporary one and retained log are told apart', async (t) => {
      server ??= await serverOf(generation, t, { max_prepared_transactions: '5' });
      if (server === undefined) return;
      await run(server.url(), 'CREATE DATABASE slots');
      const url = server.url('slots');
      {
        await using holder = await open(url);
        await holder.rows("SELECT pg_create_logical_replication_slot('changeover_lane', 'pgoutput', true)");
        await cures(url, 'slot-temporary', 'blocker');
      }
      await run(
        url,
        "SELECT pg_create_logical_replication_slot('changeover_lane', 'pgoutput')",
        'SELECT pg_switch_wal()',
      );
      const retained = (await check(url, { walBudgetBytes: 1024 })).find((one) => one.check === 'wal-retained');
      assert.equal(retained?.severity, 'warning');
      assert.match(retained.message, /of 1 kB at most/);
      await paste(url, retained.cure);
      assert.deepEqual(
        (await check(url, { walBudgetBytes: 1024 })).filter((one) => one.check === 'wal-retained'),
        [],
      );
    });

    test('large objects, foreign tables and text without an encoding are named', async (t) => {
      server ??= await serverOf(generation, t, { max_prepared_transactions: '5' });
      if (server === undefined) return;
      await run(server.url(), "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0");
      const url = server.url('ascii');
      await run(
        url,
        "SELECT lo_from_bytea(0, 'x')",
        'CREATE FOREIGN DATA WRAPPER nothing',
        'CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing',
        'CREATE FOREIGN TABLE public.far (a int) SERVER nowhere',
      );
      const found = new Map((await check(url)).map((one) => [one.check, one.severity]));
      assert.equal(found.get('large-objects'), 'warning');
      assert.equal(found.get('foreign-tables'), 'note');
      assert.equal(found.get('encoding'), 'warning');
      assert.equal(found.has('replica-identity'), false);
    });

    test('what a copy will not bring is named, until the copy was made', async (t) => {
      server ??= await serverOf(generation, t, { max_prepared_transactions: '5' });
      if (server === undefined) return;
      await run(server.url(), 'CREATE DATABASE rich');
      const url = server.url('rich');
      await run(
        url,
        'CREATE TABLE public.unwanted (id int)',
        'CREATE VIEW public.seen AS SELECT * FROM public.unwanted',
        'CREATE FOREIGN DATA WRAPPER nothing',
      );
      const named = async () =>
        (await check(url)).filter((one) => one.check === 'left-out').map(({ message }) => message);
      assert.deepEqual(await named(), [
        'Not made at the secondary: foreign-data wrapper nothing (foreign data is not copied)',
        'Not made at the secondary: view public.seen (needs table public.unwanted, which is not copied)',
      ]);
      await run(url, "SELECT pg_create_logical_replication_slot('changeover_lane', 'pgoutput')");
      assert.deepEqual(await named(), []);
      await run(url, "SELECT pg_drop_replication_slot('changeover_lane')");
    });
  });
