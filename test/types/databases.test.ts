import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openSourceInspector } from '../../src/source/postgres/inspect.ts';
import { openTargetInspector } from '../../src/target/postgres/inspect.ts';
import { assertEqual, openSides, type Sides } from '../end-to-end/sides.ts';
import { openLane } from '../fixtures/lane.ts';
import { openServer } from '../servers/clusters.ts';
import { never, run } from '../servers/postgres.ts';

/* Values between databases that are not alike: in their encoding, and in the settings by which a server prints and reads values. */

const from = await openServer();
const to = await openServer();
after(async () => {
  await from[Symbol.asyncDispose]();
  await to[Symbol.asyncDispose]();
});

let databases = 0;

async function openEncoded(left: string, right: string): Promise<Sides & { readonly name: string }> {
  databases += 1;
  const name = `encoded_${databases}`;
  const make = (encoding: string): string =>
    `CREATE DATABASE ${name} TEMPLATE template0 ENCODING '${encoding}' LC_COLLATE 'C' LC_CTYPE 'C'`;
  await run(from.url(), make(left));
  await run(to.url(), make(right));
  return { primary: from.url(name), secondary: to.url(name), name };
}

/** Texts that an encoding has. */
const texts: Readonly<Record<string, readonly string[]>> = {
  UTF8: ['plain', 'ünï', '日本語', '📦'],
  LATIN1: ['plain', 'ünï ÿ', '\u0080\u00a0'],
  EUC_JP: ['plain', '日本語', 'ｱ', '\\ー表'],
  SQL_ASCII: ['plain', 'ünï', '📦'],
};

for (const [left, right] of [
  ['LATIN1', 'LATIN1'],
  ['EUC_JP', 'EUC_JP'],
  ['SQL_ASCII', 'SQL_ASCII'],
  ['LATIN1', 'UTF8'],
  ['EUC_JP', 'UTF8'],
] as const)
  test(`text of a ${left} database is the same in one of ${right}, copied and streamed`, async () => {
    const sides = await openEncoded(left, right);
    const insert = (n: number): string =>
      `INSERT INTO public."täble" SELECT ${n}, unnest(ARRAY[${texts[left]?.map((text) => `'${text}'`).join(', ')}])`;
    const words = left === 'EUC_JP' ? 'tシble' : 'täble';
    const named = (sql: string): string => sql.replaceAll('täble', words);
    await run(
      sides.primary,
      named('CREATE TABLE public."täble" (n int, v text, PRIMARY KEY (n, v))'),
      named(insert(1)),
    );
    await using lane = openLane({ sides });
    await lane.caughtUp();
    await run(sides.primary, named(insert(2)), named(`UPDATE public."täble" SET n = n + 10 WHERE v <> 'plain'`));
    await lane.caughtUp();
    // Compared by what is said in UTF-8: their bytes differ where the encodings do.
    const rows = `SELECT * FROM public."${words}" ORDER BY n, convert_to(v, 'UTF8')`;
    assert.deepEqual(await run(sides.secondary, rows), await run(sides.primary, rows));
    if (left === right) await assertEqual(sides);
  });

test('bytes of a SQL_ASCII database that are no UTF-8 stop the lane, and check warns of them', async () => {
  const sides = await openEncoded('SQL_ASCII', 'UTF8');
  await run(sides.primary, 'CREATE TABLE public.t (id int PRIMARY KEY, v text)');
  await using inspector = openSourceInspector({ url: sides.primary, name: sides.name, wanted: () => true });
  assert.equal((await inspector.check(never)).find(({ check }) => check === 'encoding')?.severity, 'warning');
  await using lane = openLane({ sides });
  await lane.caughtUp();
  await run(sides.primary, `INSERT INTO public.t VALUES (1, convert_from('\\xff'::bytea, 'SQL_ASCII'))`);
  assert.equal((await lane.stopped()).code, 'SOURCE_UNSUITABLE');
  assert.deepEqual(await run(sides.secondary, 'SELECT * FROM public.t'), []);
});

for (const [left, right] of [
  ['UTF8', 'LATIN1'],
  ['EUC_JP', 'LATIN1'],
  ['UTF8', 'SQL_ASCII'],
] as const)
  test(`a database of ${left} is refused for a secondary of ${right}`, async () => {
    const sides = await openEncoded(left, right);
    await using source = openSourceInspector({ url: sides.primary, name: sides.name, wanted: () => true });
    await using target = openTargetInspector({ url: sides.secondary, name: sides.name });
    const found = await target.check(await source.profile(never), never);
    assert.equal(found.find(({ check }) => check === 'encoding')?.severity, 'blocker');
  });

test('the settings by which servers print and read values do not matter (P18)', async () => {
  const sides = await openSides(from, to);
  const set = (database: string, settings: Readonly<Record<string, string>>): string[] =>
    Object.entries(settings).map(([name, value]) => `ALTER DATABASE ${database} SET ${name} = '${value}'`);
  await run(
    sides.primary,
    ...set(sides.name, {
      datestyle: 'German, DMY',
      intervalstyle: 'sql_standard',
      timezone: 'Asia/Tokyo',
      bytea_output: 'escape',
      extra_float_digits: '-3',
      xmloption: 'document',
      lc_monetary: 'C.utf8',
      client_encoding: 'LATIN1',
      quote_all_identifiers: 'on',
      standard_conforming_strings: 'off',
      search_path: 'theirs',
    }),
  );
  await run(
    sides.secondary,
    ...set(sides.name, {
      datestyle: 'SQL, MDY',
      intervalstyle: 'iso_8601',
      timezone: 'America/New_York',
      bytea_output: 'hex',
      array_nulls: 'off',
      xmloption: 'document',
      backslash_quote: 'off',
      default_transaction_isolation: 'serializable',
      search_path: 'ours',
    }),
  );
  await run(
    sides.primary,
    `CREATE TABLE public.t (id int PRIMARY KEY, d date, ts timestamptz, i interval, b bytea, f float8, r real, m money, x xml, a text[], c regclass, p point)`,
    'CREATE TABLE public.whole (d date, ts timestamptz, i interval, b bytea, f float8, r real, m money, a text[])',
  );
  const values = (id: string): string =>
    `${id}DATE '2026-02-03', TIMESTAMPTZ '2026-02-03 04:05:06.7+08', INTERVAL '-1 year 2 days -3:04:05', '\\x005cff'::bytea, 0.1::float8 + 0.2, 0.1, 1234.5::money`;
  const both = (id: number): string[] => [
    `INSERT INTO public.t VALUES (${values(`${id}, `)}, 'no document', '{a,NULL,"NULL"}', 'pg_catalog.pg_class', '(0.1,1e-300)')`,
    `INSERT INTO public.whole VALUES (${values('')}, '{a,NULL,"NULL"}')`,
  ];
  await run(sides.primary, ...both(1));
  await using lane = openLane({ sides });
  await lane.caughtUp();
  await run(
    sides.primary,
    ...both(2),
    'UPDATE public.t SET f = f + 1',
    `DELETE FROM public.whole WHERE ctid = '(0,1)'`,
    'UPDATE public.whole SET f = 1',
  );
  await lane.caughtUp();
  await assertEqual(sides);
  assert.deepEqual(await run(sides.secondary, 'SELECT a[2] IS NULL, a[3] FROM public.t'), [
    ['t', 'NULL'],
    ['t', 'NULL'],
  ]);
  assert.deepEqual(await run(sides.secondary, 'SELECT drifted FROM changeover.checkpoint'), [['0']]);
});
