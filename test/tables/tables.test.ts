import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { assertEqual, openSides } from '../end-to-end/sides.ts';
import { openLane } from '../fixtures/lane.ts';
import { openServer } from '../servers/clusters.ts';
import { run } from '../servers/postgres.ts';

/* Tables of every shape, between two real servers: what is written at the primary stands at the secondary. */

const from = await openServer({ settings: { max_prepared_transactions: '5' } });
const to = await openServer();
after(async () => {
  await from[Symbol.asyncDispose]();
  await to[Symbol.asyncDispose]();
});

interface Story {
  /** Before the copy. */
  readonly made: readonly string[];
  /** After it; each a transaction, or what it says itself. What comes quickly is folded together. */
  readonly written: readonly string[];
  /** Asked of the secondary at the end, with the answer. */
  readonly ends?: readonly (readonly [sql: string, answer: readonly (readonly (string | null)[])[]])[];
}

const long = (letter: string): string => `repeat('${letter}', 9000)`;
const external = (...tables: string[]): string[] =>
  tables.map((table) => `ALTER TABLE public.${table} ALTER long SET STORAGE EXTERNAL`);

const stories: Readonly<Record<string, Story>> = {
  'a unique index identifies rows, with keys that change and values that are swapped': {
    made: [
      'CREATE TABLE public.t (a int NOT NULL, b text NOT NULL, v text)',
      'CREATE UNIQUE INDEX by_b ON public.t (b, a)',
      'ALTER TABLE public.t REPLICA IDENTITY USING INDEX by_b',
      `INSERT INTO public.t SELECT n, 'b' || n, 'v' FROM generate_series(1, 9) n`,
    ],
    written: [
      `UPDATE public.t SET b = b || 'x' WHERE a < 4`,
      `UPDATE public.t SET v = 'w' WHERE a < 6`,
      'DELETE FROM public.t WHERE a = 9',
      `BEGIN; UPDATE public.t SET b = 'tmp' WHERE a = 4; UPDATE public.t SET a = 4, b = 'b4' WHERE a = 5; UPDATE public.t SET a = 5, b = 'b5' WHERE b = 'tmp'; COMMIT`,
    ],
  },
  'keys that are swapped and handed on, within a transaction and over several that are folded': {
    made: [
      'CREATE TABLE public.t (a int, b int, u int UNIQUE, v text, PRIMARY KEY (a, b))',
      'INSERT INTO public.t SELECT n, -n, n, n::text FROM generate_series(1, 20) n',
      'CREATE TABLE public.late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, u int UNIQUE DEFERRABLE INITIALLY DEFERRED)',
      'INSERT INTO public.late SELECT n, n FROM generate_series(1, 20) n',
    ],
    written: [
      'BEGIN; UPDATE public.t SET a = 0 WHERE a = 1; UPDATE public.t SET a = 1, b = -1 WHERE a = 2; UPDATE public.t SET a = 2, b = -2 WHERE a = 0; COMMIT',
      'UPDATE public.late SET id = 21 - id, u = u % 20 + 1',
      'UPDATE public.t SET u = 100 WHERE u = 3',
      'UPDATE public.t SET u = 3 WHERE u = 4',
      'UPDATE public.t SET u = 4 WHERE u = 100',
      'DELETE FROM public.t WHERE a = 7',
      `INSERT INTO public.t VALUES (7, -7, 7, 'again')`,
      'UPDATE public.t SET a = 70 WHERE a = 8',
      `INSERT INTO public.t VALUES (8, -8, 80, 'new')`,
      `UPDATE public.t SET v = 'moved' WHERE a = 70`,
      'UPDATE public.late SET id = id + 1',
      'DELETE FROM public.late WHERE id % 3 = 0',
    ],
  },
  'a long value that did not change is never overwritten, whatever identifies its row (P5)': {
    made: [
      'CREATE TABLE public.keyed (id int PRIMARY KEY, v int, long text)',
      'CREATE TABLE public.full (id int PRIMARY KEY, v int, long text)',
      'ALTER TABLE public.full REPLICA IDENTITY FULL',
      'CREATE TABLE public.none (id int, v int, long text)',
      'CREATE TABLE public.longkey (long text PRIMARY KEY, v int)',
      'CREATE TABLE public.indexed (id int NOT NULL, v int, long text)',
      'CREATE UNIQUE INDEX by_id ON public.indexed (id)',
      'ALTER TABLE public.indexed REPLICA IDENTITY USING INDEX by_id',
      ...external('keyed', 'full', 'none', 'indexed'),
      ...['keyed', 'full', 'none', 'indexed'].map(
        (name) => `INSERT INTO public.${name} VALUES (1, 1, ${long('a')}), (2, 2, ${long('b')})`,
      ),
    ],
    written: ['keyed', 'full', 'none', 'indexed'].flatMap((name) => [
      `UPDATE public.${name} SET v = v + 1`,
      `UPDATE public.${name} SET id = id + 10`,
      // The earlier version is in the same batch.
      `INSERT INTO public.${name} VALUES (3, 3, ${long('c')})`,
      `UPDATE public.${name} SET v = 33 WHERE id = 3`,
      `UPDATE public.${name} SET id = 30 WHERE id = 3`,
      `UPDATE public.${name} SET v = 34 WHERE id = 30`,
      `BEGIN; UPDATE public.${name} SET long = ${long('d')} WHERE id = 11; UPDATE public.${name} SET v = 0 WHERE id = 11; UPDATE public.${name} SET id = 100 WHERE id = 11; COMMIT`,
      `DELETE FROM public.${name} WHERE id = 12`,
      `INSERT INTO public.${name} VALUES (12, 0, ${long('e')})`,
      `UPDATE public.${name} SET long = NULL WHERE id = 100`,
    ]),
  },
  'generated columns, stored and virtual, and identities follow the primary (P24)': {
    made: [
      `CREATE TABLE public.t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int GENERATED BY DEFAULT AS IDENTITY, a int,
         stored int GENERATED ALWAYS AS (a * 2) STORED, virtual int GENERATED ALWAYS AS (a * 3) VIRTUAL)`,
      'INSERT INTO public.t (a) SELECT generate_series(1, 5)',
    ],
    written: [
      'INSERT INTO public.t (a) SELECT generate_series(1, 5)',
      'INSERT INTO public.t (id, n, a) OVERRIDING SYSTEM VALUE VALUES (100, 200, 7)',
      'UPDATE public.t SET a = a + 1, n = n + 1000',
      'UPDATE public.t SET id = DEFAULT WHERE a = 3',
    ],
    ends: [
      ['SELECT count(*) FROM public.t WHERE stored IS DISTINCT FROM a * 2 OR virtual IS DISTINCT FROM a * 3', [['0']]],
    ],
  },
  'rows that move from leaf to leaf, and children that inherit': {
    made: [
      'CREATE TABLE public.p (id int, at int, v text, PRIMARY KEY (id, at)) PARTITION BY LIST (at)',
      'CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES IN (1)',
      // Its columns stand in another order.
      'CREATE TABLE public.p2 (v text, gone int, at int NOT NULL, id int NOT NULL)',
      'ALTER TABLE public.p2 DROP gone',
      'ALTER TABLE public.p ATTACH PARTITION public.p2 FOR VALUES IN (2)',
      'CREATE TABLE public.p3 PARTITION OF public.p DEFAULT PARTITION BY LIST (id)',
      'CREATE TABLE public.p3a PARTITION OF public.p3 DEFAULT',
      `INSERT INTO public.p SELECT n, 1 + n % 4, n::text FROM generate_series(1, 40) n`,
      'CREATE TABLE public.parent (id int PRIMARY KEY, v text)',
      'CREATE TABLE public.child (more int, PRIMARY KEY (id)) INHERITS (public.parent)',
      `INSERT INTO public.parent VALUES (1, 'p')`,
      `INSERT INTO public.child VALUES (1, 'c', 1)`,
    ],
    written: [
      'UPDATE public.p SET at = at % 4 + 1',
      `UPDATE public.p SET v = v || '!' WHERE id % 2 = 0`,
      'UPDATE public.p SET at = 1, id = id + 100 WHERE id < 5',
      'DELETE FROM public.p WHERE at = 2 AND id % 3 = 0',
      `UPDATE public.parent SET v = v || '+'`,
      'DELETE FROM public.child',
      `INSERT INTO public.child VALUES (1, 'again', 2)`,
      'TRUNCATE ONLY public.parent',
    ],
  },
  'cascades, self-references and cycles of foreign keys, whose rows are all in the log (P8)': {
    made: [
      'CREATE TABLE public.a (id int PRIMARY KEY, up int REFERENCES public.a ON DELETE CASCADE ON UPDATE CASCADE)',
      'CREATE TABLE public.b (id int PRIMARY KEY, a int REFERENCES public.a ON DELETE SET NULL ON UPDATE CASCADE, c int)',
      'CREATE TABLE public.c (id int PRIMARY KEY, b int REFERENCES public.b ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)',
      'ALTER TABLE public.b ADD FOREIGN KEY (c) REFERENCES public.c ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED',
      'INSERT INTO public.a SELECT n, nullif(n / 2, 0) FROM generate_series(1, 40) n',
      'BEGIN; INSERT INTO public.b SELECT n, n, n FROM generate_series(1, 30) n; INSERT INTO public.c SELECT n, 31 - n FROM generate_series(1, 30) n; COMMIT',
    ],
    written: [
      'UPDATE public.a SET id = id + 1000 WHERE id IN (2, 9)',
      'DELETE FROM public.a WHERE id = 1002',
      'DELETE FROM public.b WHERE id % 4 = 0',
      'BEGIN; INSERT INTO public.c VALUES (100, 100); INSERT INTO public.b VALUES (100, NULL, 100); COMMIT',
      'TRUNCATE public.a CASCADE',
      'INSERT INTO public.a VALUES (1, 1)',
      'BEGIN; INSERT INTO public.b VALUES (1, 1, 1); INSERT INTO public.c VALUES (1, 1); COMMIT',
    ],
  },
  'triggers, rules and row security of the secondary stay silent': {
    made: [
      'CREATE TABLE public.t (id int PRIMARY KEY, v text)',
      'CREATE TABLE public.audit (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text)',
      `CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         INSERT INTO public.audit (what) VALUES (TG_OP); NEW.v := NEW.v || '*'; RETURN NEW; END $$`,
      'CREATE TRIGGER note BEFORE INSERT OR UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.note()',
      'CREATE TABLE public.ruled (id int PRIMARY KEY, v text)',
      `CREATE RULE also AS ON INSERT TO public.ruled DO ALSO INSERT INTO public.audit (what) VALUES ('rule')`,
      'CREATE RULE never AS ON DELETE TO public.ruled WHERE OLD.id = 1 DO INSTEAD NOTHING',
      'CREATE TABLE public.hidden (id int PRIMARY KEY, v text)',
      'ALTER TABLE public.hidden ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
      'CREATE POLICY nobody ON public.hidden USING (false)',
      `INSERT INTO public.t VALUES (1, 'a')`,
    ],
    written: [
      `INSERT INTO public.t VALUES (2, 'b')`,
      `UPDATE public.t SET v = 'c'`,
      `INSERT INTO public.ruled VALUES (1, 'a'), (2, 'b')`,
      'DELETE FROM public.ruled',
      `INSERT INTO public.hidden VALUES (1, 'a'), (2, 'b')`,
      `UPDATE public.hidden SET v = 'c' WHERE id = 1`,
      'DELETE FROM public.hidden WHERE id = 2',
    ],
  },
  'a table of 1,600 columns': {
    made: [
      `CREATE TABLE public.wide (${Array.from({ length: 1600 }, (_, at) => (at === 0 ? 'c0 int PRIMARY KEY' : `c${at} int`)).join(', ')})`,
      'INSERT INTO public.wide (c0, c1, c1599) VALUES (1, 2, 3), (2, 3, 4)',
    ],
    written: [
      'INSERT INTO public.wide (c0, c1598) VALUES (3, 1), (4, 1)',
      'UPDATE public.wide SET c800 = c0',
      'UPDATE public.wide SET c0 = 10 WHERE c0 = 1',
      'DELETE FROM public.wide WHERE c0 = 2',
    ],
  },
  'names of any letters': {
    made: [
      'CREATE SCHEMA "S ""q"" 🎞"',
      `CREATE TABLE "S ""q"" 🎞"."T'a.b; --" ("I D" int PRIMARY KEY, "select" text, "a""b" text, "🎞" text, "${'l'.repeat(63)}" int)`,
      `INSERT INTO "S ""q"" 🎞"."T'a.b; --" VALUES (1, 'a', 'b', 'c', 1)`,
    ],
    written: [
      `INSERT INTO "S ""q"" 🎞"."T'a.b; --" VALUES (2, 'a', 'b', 'c', 1), (3, '', '', '', 0)`,
      `UPDATE "S ""q"" 🎞"."T'a.b; --" SET "a""b" = 'x'`,
      `UPDATE "S ""q"" 🎞"."T'a.b; --" SET "I D" = 30 WHERE "I D" = 3`,
      `DELETE FROM "S ""q"" 🎞"."T'a.b; --" WHERE "I D" = 1`,
    ],
  },
  'TRUNCATE of several tables, with CASCADE and RESTART IDENTITY, between other writes': {
    made: [
      'CREATE TABLE public.a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)',
      'CREATE TABLE public.b (id int PRIMARY KEY, a int REFERENCES public.a)',
      `INSERT INTO public.a (v) VALUES ('a'), ('b')`,
      'INSERT INTO public.b VALUES (1, 1)',
    ],
    written: [
      `BEGIN; INSERT INTO public.a (v) VALUES ('c'); TRUNCATE public.a RESTART IDENTITY CASCADE; INSERT INTO public.a (v) VALUES ('d'); COMMIT`,
      'INSERT INTO public.b VALUES (2, 1)',
      'BEGIN; TRUNCATE public.b; ROLLBACK',
      `BEGIN; SAVEPOINT s; TRUNCATE public.a CASCADE; ROLLBACK TO s; INSERT INTO public.a (v) VALUES ('e'); COMMIT`,
    ],
  },
  'what a savepoint took back never comes': {
    made: ['CREATE TABLE public.t (id int PRIMARY KEY, v text)'],
    written: [
      `BEGIN; INSERT INTO public.t VALUES (1, 'a'); SAVEPOINT a; INSERT INTO public.t VALUES (2, 'b'); SAVEPOINT b;
       UPDATE public.t SET v = 'c'; ROLLBACK TO b; INSERT INTO public.t VALUES (3, 'd'); RELEASE a; SAVEPOINT c; DELETE FROM public.t;
       ROLLBACK TO c; INSERT INTO public.t VALUES (4, 'e'); COMMIT`,
      'DO $$ BEGIN FOR n IN 10..200 LOOP BEGIN INSERT INTO public.t VALUES (n, n); IF n % 3 = 0 THEN RAISE division_by_zero; END IF; EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$',
      'BEGIN; DELETE FROM public.t; ROLLBACK',
    ],
    ends: [['SELECT count(*) FROM public.t', [['132']]]],
  },
  'messages of applications leave no trace, inside a transaction or outside': {
    made: ['CREATE TABLE public.t (id int PRIMARY KEY)'],
    written: [
      `BEGIN; SELECT pg_logical_emit_message(true, 'app', 'a'); INSERT INTO public.t VALUES (1); SELECT pg_logical_emit_message(false, '', ''); COMMIT`,
      `SELECT pg_logical_emit_message(true, 'changeover', 'not ours {')`,
      `SELECT pg_logical_emit_message(true, 'app', '\\x00ff5c'::bytea)`,
      'INSERT INTO public.t VALUES (2)',
    ],
  },
  'one row that is updated 100,000 times': {
    made: [
      'CREATE TABLE public.hot (id int PRIMARY KEY, n int, long text)',
      ...external('hot'),
      `INSERT INTO public.hot VALUES (1, 0, ${long('h')})`,
    ],
    written: [
      'DO $$ BEGIN FOR n IN 1..100000 LOOP UPDATE public.hot SET n = hot.n + 1; IF n % 50 = 0 THEN COMMIT; END IF; END LOOP; END $$',
    ],
    ends: [['SELECT n, length(long) FROM public.hot', [['100000', '9000']]]],
  },
};

for (const [what, { made, written, ends = [] }] of Object.entries(stories))
  test(what, async () => {
    const sides = await openSides(from, to);
    await run(sides.primary, ...made);
    await using lane = openLane({ sides });
    await lane.caughtUp();
    await assertEqual(sides);
    await run(sides.primary, ...written);
    await lane.caughtUp();
    await assertEqual(sides);
    assert.deepEqual(await run(sides.secondary, 'SELECT drifted FROM changeover.checkpoint'), [['0']]);
    for (const [sql, answer] of ends) assert.deepEqual(await run(sides.secondary, sql), answer);
  });

test('a prepared transaction comes when it is committed, in that place; one that is rolled back never does', async () => {
  const sides = await openSides(from, to);
  await run(
    sides.primary,
    'CREATE TABLE public.t (id int PRIMARY KEY, v text)',
    `INSERT INTO public.t VALUES (1, 'a')`,
  );
  await using lane = openLane({ sides });
  await lane.caughtUp();
  const prepare = (name: string, sql: string): string => `BEGIN; ${sql}; PREPARE TRANSACTION '${sides.name} ${name}'`;
  await run(
    sides.primary,
    prepare('kept', `INSERT INTO public.t VALUES (2, 'prepared')`),
    prepare('lost', `INSERT INTO public.t VALUES (3, 'prepared')`),
    `UPDATE public.t SET v = 'meanwhile' WHERE id = 1`,
  );
  await lane.caughtUp();
  const there = 'SELECT id, v FROM public.t ORDER BY id';
  assert.deepEqual(await run(sides.secondary, there), [['1', 'meanwhile']]);
  await run(
    sides.primary,
    `ROLLBACK PREPARED '${sides.name} lost'`,
    `COMMIT PREPARED '${sides.name} kept'`,
    `UPDATE public.t SET v = v || '!'`,
  );
  await lane.caughtUp();
  assert.deepEqual(await run(sides.secondary, there), [
    ['1', 'meanwhile!'],
    ['2', 'prepared!'],
  ]);
});
