import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { verifyLog } from '../../src/broker/log/verify.ts';
import { chanceOf } from '../end-to-end/workload.ts';
import { run } from '../servers/postgres.ts';
import { watch } from './reading.ts';
import { type Pace, schema, work } from './workload.ts';
import { becomes, dealer, digest, oldestWal, openWorld, standing, type World } from './world.ts';

const seed = Number(process.env.CHANGEOVER_SEED ?? Math.floor(Math.random() * 2 ** 31));
const rounds = Number(process.env.CHANGEOVER_ROUNDS ?? 8);
const clients = [1, 2, 3, 4];
/** Between two kills: from the middle of a connect to a while of steady work. */
const pauseMsMax = 1000;
/** For one lot of work to become visible, and for all that is left to do once nobody dies any more. */
const patienceMsMax = 90_000;

test(`through ${rounds} kills of agents and servers the secondary is always an exact prefix, and equal at the end`, async (t) => {
  t.diagnostic(`CHANGEOVER_SEED=${seed} CHANGEOVER_ROUNDS=${rounds}`);
  await using world = await openWorld([
    ...schema,
    ...clients.map((id) => `INSERT INTO public.client VALUES (${id}, 0)`),
  ]);
  const firstWal = await oldestWal(world.primary);
  const over = new AbortController();
  const reading = AbortSignal.any([over.signal, world.failed]);
  const pace: Pace = { committed: 0, visible: 0 };
  const readers = [1, 2].map(() =>
    reported(world, watch(world.secondary, { lifeOf: () => world.lives, pace }, reading)),
  );
  const done = new AbortController();
  const working = AbortSignal.any([done.signal, world.failed]);
  // Also where the test fails: nobody goes on with a world that is gone.
  using _end = {
    [Symbol.dispose]() {
      done.abort();
      over.abort();
    },
  };
  const workers = clients.map((id) =>
    reported(world, work(world.primary, { id, chance: chanceOf(seed + id), pace }, working)),
  );

  await killAll(world, (what) => t.diagnostic(what));

  done.abort();
  const told = await Promise.all(workers);
  await caughtUp(world);
  over.abort();
  const readings = await Promise.all(readers);
  world.failed.throwIfAborted();
  assert.ok(Math.min(...readings) > 0, 'The secondary was read while it happened');
  assert.deepEqual(await digest(world.secondary), await digest(world.primary));
  const counters = await run(world.secondary.url(), 'SELECT counter FROM public.client ORDER BY id');
  for (const [index, [counter]] of counters.entries())
    assert.ok(Number(counter) >= (told[index] ?? 0), 'Whoever was told of a commit finds it');
  t.diagnostic(`${counters.flat().join(' + ')} transactions, ${readings.join(' + ')} readings`);
  const drifted = await run(world.secondary.url(), 'SELECT drifted FROM changeover.checkpoint');
  assert.deepEqual(drifted, [['0']], 'Nothing had to be mended');
  for await (const finding of verifyLog({ folder: world.folder }, t.signal)) assert.notEqual(finding.kind, 'broken');

  await world.forget();
  const kept = 'SELECT count(*) = 1 AND max(pg_current_wal_lsn() - restart_lsn) < 20e6 FROM pg_replication_slots';
  await becomes(world.primary, kept, world.failed);
  assert.ok((await oldestWal(world.primary)) > firstWal, 'What was acknowledged was forgotten');
  await world.stopAgents();
  const left = `SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'changeover%'`;
  await becomes(world.primary, left, world.failed);
  await becomes(world.secondary, left, world.failed);
});

/** What fails beside the test stops everything else; whoever waits for it hears of it, nobody need. */
function reported<T>(world: World, work: Promise<T>): Promise<T> {
  work.catch((error: unknown) => world.fail(error));
  return work;
}

async function killAll(world: World, tell: (what: string) => void): Promise<void> {
  const chance = chanceOf(seed);
  const deck = dealer(chance);
  for (let round = 0; round < rounds; round += 1) {
    // Mostly into steady work; now and then while everybody is still getting up, and two at once.
    if (chance() < 0.75) await progress(world);
    await sleep(chance() ** 2 * pauseMsMax, undefined, { signal: world.failed });
    const victims = new Set(chance() < 0.25 ? [deck(), deck()] : [deck()]);
    tell(`kill ${[...victims].join(' and ')}`);
    await Promise.all([...victims].map((victim) => world.kill(victim)));
    await world.forget();
  }
}

/** Waits until more is visible at the secondary than is committed at the primary now. */
async function progress(world: World): Promise<void> {
  const [row] = await run(world.primary.url(), 'SELECT number FROM public.head');
  await visible(world, `SELECT number > ${row?.[0]} FROM public.head`);
}

/** Waits until the secondary says so. */
async function visible(world: World, sql: string): Promise<void> {
  const patience = AbortSignal.any([AbortSignal.timeout(patienceMsMax), world.failed]);
  await becomes(world.secondary, sql, patience).catch(async (error: unknown) => {
    world.failed.throwIfAborted();
    throw new Error(`Nothing more comes\n${await standing(world)}\n${world.said()}`, { cause: error });
  });
}

/** Waits until all that is committed is visible, and the primary knows that it may forget it. */
async function caughtUp(world: World): Promise<void> {
  const [row] = await run(world.primary.url(), 'SELECT pg_current_wal_insert_lsn()');
  const end = row?.[0];
  const applied = `SELECT position_order >= '${end}'::pg_lsn - '0/0'::pg_lsn FROM changeover.checkpoint`;
  await visible(world, applied);
  const patience = AbortSignal.any([AbortSignal.timeout(patienceMsMax), world.failed]);
  await becomes(world.primary, `SELECT confirmed_flush_lsn >= '${end}' FROM pg_replication_slots`, patience);
}
