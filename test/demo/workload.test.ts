import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Acknowledged } from '../../src/demo/acknowledged.ts';
import { runClients } from '../../src/demo/clients.ts';
import { Gate } from '../../src/demo/gate.ts';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import { readSecondary } from '../../src/demo/reading.ts';
import { sampleSchema } from '../../src/demo/schema.ts';
import { choose, type Memory } from '../../src/demo/workload.ts';
import { openServer } from '../servers/clusters.ts';
import { never, open, run } from '../servers/postgres.ts';

const clients = 4;
let server: PostgresServer;
before(async () => {
  server = await openServer({ durable: true });
});
after(() => server[Symbol.asyncDispose]());

/** Chance that is the same each time: a linear congruential generator. */
function chance(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

/** The demo reads the checkpoint with each reading: a place like that of a secondary. */
const asSecondary = `create schema changeover;
  create table changeover.checkpoint as select '0/1'::text as position_token`;

async function shop(database: string): Promise<string> {
  await run(server.url(), `create database ${database}`);
  await run(server.url(database), ...sampleSchema({ clients, now: new Date() }), asSecondary);
  return server.url(database);
}

const changes = async (url: string): Promise<number> => {
  const [row] = await run(
    url,
    'select pg_stat_clear_snapshot()',
    'select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables',
  );
  return Number(row?.[0]);
};

test('each kind of transaction keeps the rules of the shop and changes as many rows as it says', async () => {
  const url = await shop('alone');
  const draw = chance(7);
  let memory: Memory = { client: 1, counter: 0, open: [], visit: undefined };
  const kinds = new Set<string>();
  let rows = 0;
  const before = await changes(url);
  await using connection = await open(url);
  await connection.rows('set synchronous_commit = off');
  for (let turn = 0; turn < 400; turn += 1) {
    const plan = choose(memory, [memory.counter, 0, 0, 0], draw);
    await connection.rows(plan.sql);
    kinds.add(plan.kind);
    rows += plan.rows;
    memory = plan.after;
  }
  await connection.rows('select pg_stat_force_next_flush()');
  assert.deepEqual(kinds, new Set(['order', 'ship', 'take back', 'document', 'profile', 'visit', 'campaign']));
  assert.equal((await changes(url)) - before, rows);
  const reading = await readSecondary(connection);
  assert.deepEqual(reading.torn, []);
  assert.deepEqual(reading.counts, [400, 0, 0, 0]);
});

test('a primary that is killed again and again loses nothing acknowledged, and nothing is done twice', async () => {
  const url = await shop('crowded');
  const acknowledged = new Acknowledged(clients);
  const stop = new AbortController();
  const options = { url, clients, rate: 400, acknowledged, gate: new Gate(), draw: chance(3) };
  const running = runClients({ ...options, now: () => performance.now() }, stop.signal);
  for (const wanted of [100, 250, 400]) {
    while (acknowledged.transactions < wanted) await Promise.race([running, new Promise(setImmediate)]);
    await server.stop('kill');
    await server.start();
  }
  while (acknowledged.transactions < 500) await Promise.race([running, new Promise(setImmediate)]);
  const closed = await options.gate.close(never);
  const counts = await run(url, 'select counter from shop.clients order by client');
  assert.deepEqual(counts.flat().map(Number), acknowledged.counts());
  await using connection = await open(url);
  assert.deepEqual((await readSecondary(connection)).torn, []);
  stop.abort();
  closed[Symbol.dispose]();
  await running;
});
