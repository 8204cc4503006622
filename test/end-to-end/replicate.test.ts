import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadSampleRows, loadSampleSchema } from '../fixtures/sample-schema.ts';
import { openServer } from '../servers/clusters.ts';
import { generations, open, run, serverOf } from '../servers/postgres.ts';
import { type Desk, openDesk } from './program.ts';
import { assertEqual, count, type Sides, schemaOf } from './sides.ts';
import { startWorkload, workloadSchema } from './workload.ts';

for (const generation of generations) {
  test(`a database of ${generation} with everything in it is copied and followed, and resumed after a stop`, async (t) => {
    await using from = await serverOf(generation, t);
    if (!from) return;
    await using to = await openServer();
    const sides = { primary: from.url(), secondary: to.url() };
    await prepare(sides);
    await using desk = await openDesk();
    const numbers = await sequences(sides.primary);
    await using workload = startWorkload(sides.primary);
    await workload.more(20);
    const first = desk.start('replicate', sides.primary, sides.secondary);
    await first.says(/apply .*: running/);
    await workload.more(250);
    await desk.caughtUp();
    const stopped = await first.stop('SIGTERM');
    assert.deepEqual([stopped.exitCode, stopped.err], [0, ''], stopped.out);
    const { next } = await desk.ask('log', 'ls');
    await workload.more(50);
    await workload.stop();

    const second = desk.start('replicate', sides.primary, sides.secondary);
    await desk.caughtUp();
    await assertEqual(sides);
    // Generations of PostgreSQL print the same thing in their own ways.
    const how = generation === 'PostgreSQL 18' ? 'statements' : 'names';
    assert.deepEqual(await schemaOf(sides.secondary, how), await schemaOf(sides.primary, how));
    for (const [name, value] of await sequences(sides.secondary))
      assert.ok(value >= (numbers.get(name) ?? 0n), `Sequence ${name} stands at ${value}`);
    await resumedAt(desk, Number(next));
    await answers(desk, sides);
    await compares(desk, sides);
    assert.equal((await second.stop('SIGTERM')).exitCode, 0);
  });
}

async function prepare({ primary, secondary }: Sides): Promise<void> {
  await using connection = await open(primary);
  await loadSampleSchema(connection);
  await loadSampleRows(connection);
  await run(primary, ...workloadSchema);
  // Roles belong to a server, not to a database: they are the administrator's.
  await run(secondary, 'CREATE ROLE sample_reader', `CREATE ROLE "Sample Writer's"`);
}

async function sequences(url: string): Promise<ReadonlyMap<string, bigint>> {
  const rows = await run(url, `SELECT schemaname || '.' || sequencename, coalesce(last_value, 0) FROM pg_sequences`);
  return new Map(rows.map(([name, value]) => [name ?? '', BigInt(value ?? 0)]));
}

interface Listed {
  readonly offset: number;
  readonly kinds: Readonly<Record<string, number>>;
}

/** One copy was made, and what came after the stop stands behind what was there. */
async function resumedAt(desk: Desk, next: number): Promise<void> {
  const { entries, schema } = await desk.ask('log', 'ls', '--from', '0', '--limit', '100000');
  assert.equal(schema, 'changeover.log.ls/1');
  const listed = entries as readonly Listed[];
  const copies = listed.filter(({ kinds }) => kinds.snapshot !== undefined);
  assert.deepEqual(
    copies.map(({ offset }) => offset),
    [1],
  );
  assert.deepEqual(
    listed.map(({ offset }) => offset),
    [...listed.keys()],
  );
  // An entry of the journal may stand between.
  const after = listed.slice(next).find(({ kinds }) => kinds.control === undefined);
  assert.ok(after?.kinds.commit);
}

/** The questions tell the truth about a lane that runs and has caught up. */
async function answers(desk: Desk, { primary }: Sides): Promise<void> {
  await run(primary, `INSERT INTO shop.emptied VALUES (-1, E'a\\tb\\\\') ON CONFLICT DO NOTHING`);
  await desk.caughtUp();
  const { entries } = await desk.ask('log', 'ls', '--limit', '1000');
  const inserted = (entries as readonly Listed[]).findLast(({ kinds }) => kinds.insert === 1);
  const shown = await desk.ask('log', 'show', String(inserted?.offset));
  const change = (shown.changes as readonly Record<string, unknown>[]).find(({ kind }) => kind === 'insert');
  assert.deepEqual(change, { kind: 'insert', table: 'shop.emptied', after: { id: '-1', words: 'a\tb\\' } });
  const verified = await desk.ask('log', 'verify');
  assert.deepEqual([verified.verdict, verified.broken, verified.exitCode], ['WHOLE', null, 0]);
  const { schema, verdict, agents, secondaries, exitCode } = await desk.ask('status');
  assert.deepEqual([schema, verdict, exitCode], ['changeover.status/1', 'IN STEP', 0]);
  assert.deepEqual(
    (agents as readonly { role: string; state: string }[]).map(({ role, state }) => [role, state]),
    [
      ['apply', 'running'],
      ['capture', 'running'],
    ],
  );
  const [secondary] = secondaries as readonly { writing: boolean; drifted: number }[];
  assert.deepEqual([secondary?.writing, secondary?.drifted], [true, 0]);
  const checked = await desk.ask('check');
  assert.deepEqual(
    [checked.schema, checked.verdict, checked.blockers],
    ['changeover.check/1', 'READY', 0],
    JSON.stringify(checked.findings),
  );
}

/** Every type and every kind of key that the sample has: equal, and told apart where a stranger wrote. */
async function compares(desk: Desk, { secondary }: Sides): Promise<void> {
  const equal = await desk.ask('verify');
  assert.deepEqual([equal.verdict, equal.exitCode], ['EQUAL', 0], JSON.stringify(equal));
  await run(secondary, 'DELETE FROM shop.emptied WHERE id = -1');
  const { verdict, exitCode, secondaries } = await desk.ask('verify', '--table', 'shop.emptied');
  assert.deepEqual([verdict, exitCode], ['DIFFERS', 1], JSON.stringify(secondaries));
  const repaired = await desk.ask('repair', '--table', 'shop.emptied');
  assert.equal(repaired.exitCode, 0, JSON.stringify(repaired));
  const copied = await desk.ask('snapshot', 'shop.emptied');
  assert.deepEqual([copied.verdict, copied.exitCode], ['COPIED', 0]);
  const refused = await desk.run('set-aside', 'shop.emptied');
  assert.match(refused.err, /TARGET_BUSY/);
  const { verdict: after } = await desk.ask('verify', '--table', 'shop.*', '--values');
  assert.equal(after, 'EQUAL');
}

test('rows of keyless tables that are equal but read otherwise are told apart, and rows without columns are counted', async () => {
  await using from = await openServer();
  await using to = await openServer();
  const sides = { primary: from.url(), secondary: to.url() };
  await run(
    sides.primary,
    'CREATE TABLE public.equal (amount numeric, ratio float8, bare json)',
    `INSERT INTO public.equal VALUES ('1.0', '0', '1'), ('1.00', '-0', '1'), ('1.000', '0', '1 ')`,
    'CREATE TABLE public.bare ()',
    'INSERT INTO public.bare DEFAULT VALUES',
  );
  await using desk = await openDesk();
  await desk.replicate(sides);
  await desk.caughtUp();
  assert.equal(await count(sides.secondary, 'public.bare'), 1);
  await run(
    sides.primary,
    `DELETE FROM public.equal WHERE amount::text = '1.00'`,
    `UPDATE public.equal SET amount = '7' WHERE bare::text = '1 '`,
    'INSERT INTO public.bare DEFAULT VALUES',
  );
  await desk.caughtUp();
  await assertEqual(sides);
});
