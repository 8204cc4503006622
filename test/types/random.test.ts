import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as fc from 'fast-check';
import { assertEqual, openSides } from '../end-to-end/sides.ts';
import { openLane } from '../fixtures/lane.ts';
import { openServer } from '../servers/clusters.ts';
import { open, run } from '../servers/postgres.ts';
import { kindsOf, madeTypes } from './values.ts';

const seed = Number(process.env.SEED ?? 11);
const from = await openServer();
const to = await openServer();
after(async () => {
  await from[Symbol.asyncDispose]();
  await to[Symbol.asyncDispose]();
});

const kinds = kindsOf(18);
/** Types with neither an order nor a hash cannot be part of an index. */
const keyKinds = [
  'bigint',
  'numeric',
  'text',
  'timestamptz',
  'interval',
  'bytea',
  'public.citext',
  'public.home',
  'double precision',
  'inet',
];

/** A value of a column: the place of one that is written down, or a text of any planes for what takes one. */
const cell = fc.oneof(
  { weight: 1, arbitrary: fc.constant(null) },
  { weight: 6, arbitrary: fc.nat() },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }).map((text) => text.replaceAll('\0', '')) },
);
const row = fc.array(cell, { minLength: 8, maxLength: 8 });
const deed = fc.record({
  kind: fc.constantFrom('insert', 'insert', 'insert', 'update', 'update', 'delete', 'move', 'copy', 'undone' as const),
  table: fc.nat(),
  which: fc.nat(),
  row,
  ends: fc.boolean(),
});
const table = fc.record({
  columns: fc.array(fc.nat({ max: kinds.length - 1 }), { minLength: 1, maxLength: 7 }),
  key: fc.constantFrom(...keyKinds),
  identity: fc.constantFrom('key', 'key', 'full', 'index', 'composite', 'none', 'deferrable'),
});

type Deed = typeof deed extends fc.Arbitrary<infer T> ? T : never;
type Shape = typeof table extends fc.Arbitrary<infer T> ? T : never;

const typesOf = ({ key, columns }: Shape): string[] => [key, ...columns.map((at) => kinds[at]?.type ?? 'text')];

function create(shape: Shape, number: number): string[] {
  const columns = typesOf(shape)
    .map((type, at) => `c${at} ${type}`)
    .join(', ');
  const name = `public.t${number}`;
  const made = `CREATE TABLE ${name} (no int, ${columns})`;
  const identities: Record<Shape['identity'], readonly string[]> = {
    key: [`ALTER TABLE ${name} ADD PRIMARY KEY (no)`],
    composite: [`ALTER TABLE ${name} ADD PRIMARY KEY (c0, no)`],
    index: [
      `ALTER TABLE ${name} ALTER no SET NOT NULL, ALTER c0 SET NOT NULL`,
      `CREATE UNIQUE INDEX by_${number} ON ${name} (no, c0)`,
      `ALTER TABLE ${name} REPLICA IDENTITY USING INDEX by_${number}`,
    ],
    full: [`ALTER TABLE ${name} ADD PRIMARY KEY (no)`, `ALTER TABLE ${name} REPLICA IDENTITY FULL`],
    deferrable: [`ALTER TABLE ${name} ADD PRIMARY KEY (no) DEFERRABLE INITIALLY DEFERRED`],
    none: [],
  };
  return [made, ...identities[shape.identity]];
}

/** A value that the type takes. */
function valueOf(type: string, wanted: Deed['row'][number] | undefined): string | null {
  const { values: all = [] } = kinds.find((kind) => kind.type === type) ?? {};
  // What PostgreSQL itself never prints: how XML was declared.
  const values = all.filter((value) => !value.includes('encoding='));
  if (typeof wanted === 'string')
    return ['text', 'varchar', 'public.citext', 'public.code'].includes(type) ? wanted : null;
  return typeof wanted === 'number' ? (values[wanted % values.length] ?? null) : null;
}

type Statement = readonly [sql: string, values?: readonly (string | number | null)[]];

function statementsOf(
  { kind, table: at, which, row: cells }: Deed,
  shapes: readonly Shape[],
  next: () => number,
): Statement[] {
  const number = at % shapes.length;
  const shape = shapes[number];
  if (!shape) return [];
  const name = `public.t${number}`;
  const types = typesOf(shape);
  // Part of a key: never null.
  const values = types.map((type, place) =>
    valueOf(type, place === 0 ? (typeof cells[0] === 'number' ? cells[0] : 1) : cells[place]),
  );
  const one = `ctid = (SELECT ctid FROM ${name} ORDER BY no OFFSET ${which} % greatest(1, (SELECT count(*) FROM ${name})) LIMIT 1)`;
  const place = 1 + (which % (types.length - 1));
  switch (kind) {
    case 'insert':
      return [
        [`INSERT INTO ${name} VALUES (${next()}, ${types.map((_, index) => `$${index + 1}`).join(', ')})`, values],
      ];
    case 'update':
      return [[`UPDATE ${name} SET c${place} = $1 WHERE ${one}`, [values[place] ?? null]]];
    case 'delete':
      return [[`DELETE FROM ${name} WHERE ${one}`]];
    case 'move':
      return [[`UPDATE ${name} SET no = ${next()}, c0 = $1 WHERE ${one}`, [values[0] ?? null]]];
    case 'copy':
      // Rows that nothing tells apart, where there is no key.
      return [
        [
          `INSERT INTO ${name} SELECT ${shape.identity === 'none' ? 'no' : next()}, ${types.map((_, index) => `c${index}`).join(', ')} FROM ${name} WHERE ${one}`,
        ],
      ];
    case 'undone':
      return [['SAVEPOINT undone'], [`DELETE FROM ${name}`], ['ROLLBACK TO SAVEPOINT undone']];
    default:
      throw new RangeError(kind satisfies never);
  }
}

async function write(url: string, deeds: readonly Deed[], shapes: readonly Shape[], next: () => number): Promise<void> {
  await using connection = await open(url);
  await connection.rows('BEGIN');
  for (const one of deeds) {
    for (const [sql, values] of statementsOf(one, shapes, next)) await connection.rows(sql, values);
    if (one.ends) {
      await connection.rows('COMMIT');
      await connection.rows('BEGIN');
    }
  }
  await connection.rows('COMMIT');
}

test(`random tables with random rows are the same on both sides, copied and streamed (SEED=${seed})`, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(table, { minLength: 1, maxLength: 8 }),
      fc.array(deed, { minLength: 40, maxLength: 120, size: 'max' }),
      fc.array(deed, { minLength: 40, maxLength: 160, size: 'max' }),
      async (shapes, before, meanwhile) => {
        const sides = await openSides(from, to);
        await run(sides.primary, ...madeTypes, ...shapes.flatMap(create));
        let ever = 0;
        const next = (): number => (ever += 1);
        await write(sides.primary, before, shapes, next);
        await using lane = openLane({ sides });
        await lane.caughtUp();
        await assertEqual(sides);
        await write(sides.primary, meanwhile, shapes, next);
        await lane.caughtUp();
        await assertEqual(sides);
        assert.deepEqual(await run(sides.secondary, 'SELECT drifted FROM changeover.checkpoint'), [['0']]);
      },
    ),
    { seed, numRuns: Number(process.env.RUNS ?? 6), endOnFailure: true },
  );
});
