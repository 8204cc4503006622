import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, test } from 'node:test';
import { type Code, isCode } from '../../src/error.ts';
import type { Excerpt, Excerpts } from '../../src/source/postgres/excerpt.ts';
import { openSourceInspector } from '../../src/source/postgres/inspect.ts';
import { proveExcerpts } from '../../src/source/postgres/publication.ts';
import { openSides } from '../end-to-end/sides.ts';
import { chanceOf } from '../end-to-end/workload.ts';
import { openLane } from '../fixtures/lane.ts';
import { openServer } from '../servers/clusters.ts';
import { never, open, paste, run } from '../servers/postgres.ts';

/* Filters and masks: what of a table is carried is the same in the copy and in the stream, and the rest does not even reach the log. */

const seed = Number(process.env.SEED ?? 5);
const key = 'a key of the tests alone';
const from = await openServer();
const to = await openServer();
after(async () => {
  await from[Symbol.asyncDispose]();
  await to[Symbol.asyncDispose]();
});

const whole: Excerpt = { rows: undefined, leaveOut: [], masks: new Map() };

const excerptsOf = (tables: Readonly<Record<string, Excerpt>>, fingerprint = 'f'.repeat(64)): Excerpts => ({
  of: ({ name }) => tables[name],
  key,
  fingerprint,
});

/** Written anew, so that a mistake in the masks is not made twice. */
const hmac = (text: string | null): string | null =>
  text === null ? null : createHmac('sha256', key).update(text, 'utf8').digest('hex');

const cut = excerptsOf({
  customer: {
    rows: `region IN ('eu', 'uk') -- nothing behind it is swallowed`,
    leaveOut: ['note'],
    masks: new Map([
      ['email', { kind: 'hash' }],
      ['name', { kind: 'fixed', value: 'a\tb\\N\n' }],
      ['born', { kind: 'null' }],
    ]),
  },
  visit: { ...whole, leaveOut: ['place'], masks: new Map([['email', { kind: 'hash' }]]) },
  letter: { ...whole, rows: 'length(words) < 20 AND NOT gone', masks: new Map([['big', { kind: 'hash' }]]) },
});

const schema = [
  `CREATE TABLE public.customer (id int PRIMARY KEY, note text DEFAULT 'default', email text, region text, name text NOT NULL,
     born date, long text, loud text GENERATED ALWAYS AS (upper(email)) STORED)`,
  'ALTER TABLE public.customer ALTER long SET STORAGE EXTERNAL, ALTER email SET STORAGE EXTERNAL',
  'CREATE TABLE public.visit (email text, place text, at int)',
  'CREATE TABLE public.letter (words text, big text, gone boolean)',
  'ALTER TABLE public.letter REPLICA IDENTITY FULL, ALTER big SET STORAGE EXTERNAL',
  'CREATE TABLE public.plain (id int PRIMARY KEY, v text)',
];

/** What a stream cannot say of a generated column in a whole row keeps it out of a table that is filtered by rows, from 18 on. */
const filterable = ['ALTER TABLE public.customer DROP loud', 'ALTER TABLE public.customer REPLICA IDENTITY FULL'];

const secret = 'the secret itself';
const texts = [null, '', `${secret} a`, `${secret}\t\\.\n\\N`, `${secret} 📦`, secret.repeat(600)];

function statement(chance: () => number, next: () => number): readonly [string, readonly (string | number | null)[]] {
  const below = (limit: number): number => Math.floor(chance() * limit);
  const one = <T>(of: readonly T[]): T => of[below(of.length)] as T;
  const region = one(['eu', 'uk', 'us', null]);
  const some = `id = (SELECT id FROM public.customer ORDER BY md5(id::text || $1) LIMIT 1)`;
  const any = (table: string): string =>
    `ctid = (SELECT ctid FROM public.${table} ORDER BY md5(t::text || $1) LIMIT 1)`;
  const salt = String(below(1e6));
  const kinds: readonly (() => readonly [string, readonly (string | number | null)[]])[] = [
    () => [
      'INSERT INTO public.customer (id, note, email, region, name, born, long) VALUES ($1, $2, $3, $4, $5, $6, $7)',
      [
        next(),
        one(texts),
        one(texts),
        region,
        one(texts) ?? secret,
        one([null, '1970-01-01']),
        one(texts)?.replaceAll(secret, 'open') ?? null,
      ],
    ],
    // Long values that did not change come along where a row begins to be carried.
    () => [`UPDATE public.customer SET region = $2 WHERE ${some}`, [salt, region]],
    () => [`UPDATE public.customer SET note = $2, email = $3 WHERE ${some}`, [salt, one(texts), one(texts)]],
    () => [`UPDATE public.customer SET id = $2, region = $3 WHERE ${some}`, [salt, next(), region]],
    () => [`DELETE FROM public.customer WHERE ${some}`, [salt]],
    () => ['INSERT INTO public.visit VALUES ($1, $2, $3), ($1, $2, $3)', [one(texts), one(texts), below(3)]],
    () => [`UPDATE public.visit t SET place = $2, at = $3 WHERE ${any('visit t')}`, [salt, one(texts), below(3)]],
    () => [`DELETE FROM public.visit t WHERE ${any('visit t')}`, [salt]],
    () => [
      'INSERT INTO public.letter VALUES ($1, $2, $3)',
      [one(['short', 'x'.repeat(30), null]), one(texts), one(['t', 'f'])],
    ],
    () => [
      `UPDATE public.letter t SET words = $2, gone = $3 WHERE ${any('letter t')}`,
      [salt, one(['short', 'y'.repeat(30)]), one(['t', 'f', null])],
    ],
    () => [`DELETE FROM public.letter t WHERE ${any('letter t')}`, [salt]],
    () => ['INSERT INTO public.plain VALUES ($1, $2)', [next(), 'open']],
  ];
  return one(kinds)();
}

async function write(url: string, chance: () => number, next: () => number): Promise<void> {
  await using connection = await open(url);
  for (let count = 0; count < 500; count += 1) {
    const [sql, values] = statement(chance, next);

    await connection.rows(sql, values);
  }
}

/** What the secondary must hold, computed from what the primary holds. */
async function expected(url: string): Promise<readonly string[]> {
  await using connection = await open(url);
  const customers = await connection.rows(
    `SELECT id, email, region, long FROM public.customer WHERE region IN ('eu', 'uk')`,
  );
  const visits = await connection.rows('SELECT email, at FROM public.visit');
  const letters = await connection.rows(
    'SELECT words, big, gone FROM public.letter WHERE length(words) < 20 AND NOT gone',
  );
  const plain = await connection.rows('SELECT * FROM public.plain');
  return [
    ...customers.map(([id, email, region, long]) => [
      'customer',
      id,
      'default',
      hmac(email ?? null),
      region,
      'a\tb\\N\n',
      null,
      long,
    ]),
    ...visits.map(([email, at]) => ['visit', hmac(email ?? null), null, at]),
    ...letters.map(([words, big, gone]) => ['letter', words, hmac(big ?? null), gone]),
    ...plain.map((row) => ['plain', ...row]),
  ]
    .map((row) => JSON.stringify(row))
    .toSorted();
}

async function actual(url: string): Promise<readonly string[]> {
  await using connection = await open(url);
  const rows: (readonly (string | null)[])[] = [];
  for (const [table, columns] of [
    ['customer', 'id, note, email, region, name, born, long'],
    ['visit', 'email, place, at'],
    ['letter', 'words, big, gone'],
    ['plain', '*'],
  ] as const)
    rows.push(...(await connection.rows(`SELECT ${columns} FROM public.${table}`)).map((row) => [table, ...row]));
  return rows.map((row) => JSON.stringify(row)).toSorted();
}

test(`filters and masks are the same in the copy and in the stream, and nothing else reaches the log (SEED=${seed})`, async () => {
  const sides = await openSides(from, to);
  await run(sides.primary, ...schema, ...filterable);
  const chance = chanceOf(seed);
  let ever = 0;
  const next = (): number => (ever += 1);
  await write(sides.primary, chance, next);
  await using lane = openLane({ sides, excerpts: cut });
  await lane.caughtUp();
  assert.deepEqual(await actual(sides.secondary), await expected(sides.primary));
  assert.ok((await actual(sides.secondary)).length > 40);
  await write(sides.primary, chance, next);
  await lane.caughtUp();
  assert.deepEqual(await actual(sides.secondary), await expected(sides.primary));
  assert.deepEqual(await run(sides.secondary, 'SELECT drifted FROM changeover.checkpoint'), [['0']]);
  for (const change of lane.changes)
    for (const bytes of Object.values(change))
      assert.ok(!Buffer.isBuffer(bytes) || !bytes.includes(secret), change.kind);
  await run(sides.primary, 'TRUNCATE public.customer, public.letter');
  await lane.caughtUp();
  assert.deepEqual(await actual(sides.secondary), await expected(sides.primary));
});

test('a generated column is computed of what is masked', async () => {
  const sides = await openSides(from, to);
  await run(sides.primary, ...schema, `INSERT INTO public.customer (id, email, name) VALUES (1, 'a@b', 'x')`);
  await using lane = openLane({
    sides,
    excerpts: excerptsOf({ customer: { ...whole, masks: new Map([['email', { kind: 'hash' }]]) } }),
  });
  await lane.caughtUp();
  await run(sides.primary, `INSERT INTO public.customer (id, email, name) VALUES (2, 'a@b', 'x')`);
  await lane.caughtUp();
  const hash = hmac('a@b');
  assert.deepEqual(
    await run(sides.secondary, 'SELECT email, loud FROM public.customer'),
    [1, 2].map(() => [hash, hash?.toUpperCase()]),
  );
});

const rejects = (promise: Promise<unknown>, code: Code, message: RegExp): Promise<void> =>
  assert.rejects(promise, (error) => isCode(error, code) && message.test(String(error)));

test('a copy that was made with other filters and masks is not continued', async () => {
  const sides = await openSides(from, to);
  await run(sides.primary, ...schema, ...filterable);
  // Its end would forget the publication that is looked at here.
  await using lane = openLane({ sides, excerpts: cut });
  await lane.caughtUp();
  for (const excerpts of [undefined, { ...cut, fingerprint: 'e'.repeat(64) }]) {
    const url = sides.primary;

    await using connection = await open(url);
    await rejects(
      proveExcerpts(connection, `changeover_${sides.name}`, excerpts),
      'SOURCE_UNSUITABLE',
      /other filters/,
    );
    await using inspector = openSourceInspector({ url, name: sides.name, wanted: () => true, excerpts });
    const found = await inspector.check(never);
    assert.ok(found.some((one) => one.check === 'publication-excerpts' && one.severity === 'blocker'));
  }
  await using inspector = openSourceInspector({
    url: sides.primary,
    name: sides.name,
    wanted: () => true,
    excerpts: cut,
  });
  assert.deepEqual(
    (await inspector.check(never)).filter(({ severity }) => severity === 'blocker'),
    [],
  );
});

const refused: Readonly<Record<string, readonly [Excerpt, RegExp]>> = {
  'a masked key': [{ ...whole, masks: new Map([['id', { kind: 'hash' }]]) }, /id of public\.customer identifies/],
  'a key that is left out': [{ ...whole, leaveOut: ['id'] }, /id of public\.customer identifies/],
  'a hash of what is no text': [{ ...whole, masks: new Map([['born', { kind: 'hash' }]]) }, /born .* is date/],
  'a null where none may be': [{ ...whole, masks: new Map([['name', { kind: 'null' }]]) }, /name .* must not be null/],
  'a generated column': [{ ...whole, leaveOut: ['loud'] }, /loud .* is generated/],
  'a column that is not there': [{ ...whole, masks: new Map([['e-mail', { kind: 'hash' }]]) }, /e-mail/],
  'a filter of rows that are not logged whole': [{ ...whole, rows: 'id > 7' }, /must be logged whole/],
};

for (const [what, [excerpt, message]] of Object.entries(refused))
  test(`${what} is a blocker with the way on`, async () => {
    const sides = await openSides(from, to);
    await run(sides.primary, ...schema);
    const excerpts = excerptsOf({ customer: excerpt });
    await using inspector = openSourceInspector({ url: sides.primary, name: sides.name, wanted: () => true, excerpts });
    const found = (await inspector.check(never)).filter(({ check }) => ['mask', 'row-filter'].includes(check));
    assert.equal(found.length, 1);
    assert.match(found[0]?.message ?? '', message);
    assert.equal(found[0]?.severity, 'blocker');
    assert.ok(found[0]?.cure);
    if (found[0]?.check !== 'row-filter') return;
    await paste(sides.primary, found[0].cure);
    assert.deepEqual(
      (await inspector.check(never)).filter(({ check }) => check === 'row-filter'),
      [],
    );
  });

test('what would be changed in a key stops the lane before anything is made at the primary', async () => {
  const sides = await openSides(from, to);
  await run(sides.primary, ...schema);
  for (const [excerpt] of [refused['a masked key'], refused['a filter of rows that are not logged whole']].filter(
    (one) => one !== undefined,
  )) {
    await using lane = openLane({ sides, excerpts: excerptsOf({ customer: excerpt }) });
    assert.equal((await lane.stopped()).code, 'SOURCE_TABLE_UNSUITABLE');
  }
  assert.deepEqual(await run(sides.primary, `SELECT FROM pg_publication WHERE pubname ~ '${sides.name}$'`), []);
});
