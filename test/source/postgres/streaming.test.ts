import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Change } from '../../../src/change/change.ts';
import type { PostgresServer } from '../../../src/demo/postgres-server.ts';
import { type Connection, connect } from '../../../src/engine/postgres/connect.ts';
import { copyOf, readFrom, settled, valuesOf } from '../../conformance/source-under-test.ts';
import { generations, never, serverOf } from '../../servers/postgres.ts';
import { type Primary, primary } from './primary.ts';

/* Transactions that come before their commit, because they outgrow the primary's memory: here they do so from 64 kB on. */

const settings = { logical_decoding_work_mem: '64kB', max_prepared_transactions: '2' };

interface World extends Primary {
  /** The session of a client. */
  client(): Promise<Connection>;
}

let databases = 0;

/** With tables `t` and `u` to write to. */
async function openWorld(server: PostgresServer): Promise<World> {
  databases += 1;
  const name = `streaming_${databases}`;
  const url = server.url(name);
  const open = (at: string): Promise<Connection> =>
    connect({ url: at, side: 'SOURCE', application: 'a client' }, never);
  {
    await using first = await open(server.url());
    await first.rows(`CREATE DATABASE ${name} TEMPLATE template0`);
  }
  const connection = await open(url);
  for (const table of ['t', 'u']) await connection.rows(`CREATE TABLE public.${table} (id int PRIMARY KEY, v text)`);
  const clients: Connection[] = [];
  const there = primary({ url, server, connection, [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose]() });
  return {
    ...there,
    async client() {
      const client = await open(url);
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) await client[Symbol.asyncDispose]();
      await there.lose('nothing');
      await there[Symbol.asyncDispose]();
    },
  };
}

/** More than the primary keeps in its memory: 200 rows from `id` on, without a gap. */
const many = (id: number, table = 't'): string =>
  `INSERT INTO public.${table} SELECT n, repeat(md5(n::text), 30) FROM generate_series(${id}, ${id + 199}) n`;

/** The rows that were inserted, as runs without a gap: `t 0-199`. */
function runsOf(changes: readonly Change[]): string[] {
  const runs: { table: string; from: number; to: number }[] = [];
  for (const change of changes) {
    if (change.kind !== 'insert') continue;
    const id = Number(valuesOf(change)[0]);
    const last = runs.at(-1);
    if (last?.table === change.table.name && last.to === id - 1) last.to = id;
    else runs.push({ table: change.table.name, from: id, to: id });
  }
  return runs.map(({ table, from, to }) => `${table} ${from === to ? from : `${from}-${to}`}`);
}

const columnsOf = (change: Change | undefined): string =>
  change?.kind === 'insert' ? change.table.columns.map(({ name }) => name).join(' ') : '';

/** How many transactions the primary sent before their end, or blocks of them. */
async function streamed(there: Primary, what: 'txns' | 'count' = 'txns'): Promise<number> {
  const [row] = await there.connection.rows(
    `SELECT stream_${what} FROM pg_stat_replication_slots WHERE slot_name = 'changeover_test'`,
  );
  return Number(row?.[0] ?? 0);
}

/** Runs each, and lets the primary send of it what it does not keep. */
async function sent(there: Primary, client: Connection, statements: readonly string[]): Promise<void> {
  for (const statement of statements) {
    const before = await streamed(there, 'count');
    await client.rows(statement);
    if (statement.startsWith('INSERT')) await settled(async () => (await streamed(there, 'count')) > before);
  }
}

/** Each is told by the source as the first thing that it tells at all. */
const stories: Readonly<Record<string, (there: World, t: TestContext) => Promise<void>>> = {
  async 'what was rolled back to a savepoint never comes, nor does the shape that a table had there'(there, t) {
    await using source = there.open();
    const { at } = await copyOf(source, t.signal);
    const client = await there.client();
    const reading = readFrom(source, { after: at, enough: 1 }, t.signal);
    // Nobody tells of a schema change of this session: then all that says it is the table's announcement.
    await client.rows('SET session_replication_role = replica');
    await sent(there, client, [
      'BEGIN',
      many(0),
      'SAVEPOINT a',
      many(1000),
      'SAVEPOINT within',
      many(2000),
      'RELEASE within',
      'ROLLBACK TO a',
      many(3000),
      'SAVEPOINT b',
      many(4000),
      'RELEASE b',
      'SAVEPOINT c',
      'ALTER TABLE public.t ADD extra int DEFAULT 7',
      many(5000),
      many(6000, 'u'),
      'ROLLBACK TO c',
      many(7000),
      many(8000, 'u'),
      'COMMIT',
    ]);
    const [one] = await reading;
    assert.deepEqual(runsOf(one?.changes ?? []), [
      't 0-199',
      't 3000-3199',
      't 4000-4199',
      't 7000-7199',
      'u 8000-8199',
    ]);
    assert.deepEqual(new Set(one?.changes.map(columnsOf)), new Set(['id v']));
    assert.ok(one?.changes.every(({ kind }) => kind === 'insert'));
  },

  async 'a message, or a schema change, that was rolled back to a savepoint never comes'(there, t) {
    await using source = there.open();
    const { at } = await copyOf(source, t.signal);
    const client = await there.client();
    const reading = readFrom(source, { after: at, enough: 3 }, t.signal);
    await there.transact('INSERT INTO public.u VALUES (1000)');
    await sent(there, client, [
      'BEGIN',
      many(0),
      `SELECT pg_logical_emit_message(true, 'app', 'kept')`,
      'SAVEPOINT a',
      `SELECT pg_logical_emit_message(true, 'app', 'rolled back')`,
      'ALTER TABLE public.t ADD extra int',
      many(2000),
      'ROLLBACK TO a',
      many(3000),
      'COMMIT',
    ]);
    await there.transact(many(4000));
    const [before, one, behind] = await reading;
    assert.deepEqual(runsOf(before?.changes ?? []), ['u 1000']);
    assert.deepEqual(runsOf(one?.changes ?? []), ['t 0-199', 't 3000-3199']);
    assert.deepEqual(runsOf(behind?.changes ?? []), ['t 4000-4199']);
    const others = one?.changes.filter(({ kind }) => kind !== 'insert');
    assert.deepEqual(others, [{ kind: 'message', prefix: 'app', content: Buffer.from('kept') }]);
  },

  async 'two that are open at the same time come one after the other, as they were committed'(there, t) {
    await using source = there.open();
    const { at } = await copyOf(source, t.signal);
    const [one, two, three] = [await there.client(), await there.client(), await there.client()];
    for (const client of [one, two, three]) await client.rows('BEGIN');
    await one.rows(many(0));
    await two.rows(many(1000));
    await one.rows(many(2000, 'u'));
    await three.rows(many(9000));
    await two.rows(many(3000, 'u'));
    await there.transact('INSERT INTO public.t VALUES (10000)');
    await three.rows('ROLLBACK');
    await two.rows('COMMIT');
    await there.transact('INSERT INTO public.t VALUES (11000)');
    await one.rows(many(4000));
    await one.rows('COMMIT');
    const read = await readFrom(source, { after: at, enough: 4 }, t.signal);
    assert.deepEqual(
      read.map(({ changes }) => runsOf(changes)),
      [['t 10000'], ['t 1000-1199', 'u 3000-3199'], ['t 11000'], ['t 0-199', 'u 2000-2199', 't 4000-4199']],
    );
    assert.equal(new Set(read.map(({ transaction }) => transaction)).size, 4);
    // What was rolled back may count as well: it was told to the server only after it was sent.
    await settled(async () => (await streamed(there)) >= 2);
  },

  async 'one that is rolled back leaves nothing, not even the shape that it gave a table'(there, t) {
    await using source = there.open();
    const { at } = await copyOf(source, t.signal);
    const client = await there.client();
    for (const statement of [
      'BEGIN',
      many(0),
      'ALTER TABLE public.t ADD extra int',
      'ALTER TABLE public.t RENAME TO w',
    ])
      await client.rows(statement);
    await client.rows(many(1000, 'w'));
    const reading = readFrom(source, { after: at, enough: 3 }, t.signal);
    await settled(async () => (await streamed(there)) >= 1);
    await client.rows('ROLLBACK');
    await there.transact('INSERT INTO public.t VALUES (2000)');
    await there.transact(many(3000));
    await there.transact('INSERT INTO public.t VALUES (4000)');
    const changes = (await reading).flatMap((one) => one.changes);
    assert.deepEqual(runsOf(changes), ['t 2000', 't 3000-3199', 't 4000']);
    assert.deepEqual(new Set(changes.map(columnsOf)), new Set(['id v']));
  },

  async 'a schema change comes amid its rows'(there, t) {
    await using source = there.open();
    const { at } = await copyOf(source, t.signal);
    await there.transact(
      many(0),
      'ALTER TABLE public.t ADD extra int',
      many(1000),
      'ALTER TABLE public.t DROP extra',
      many(2000),
    );
    const [one] = await readFrom(source, { after: at, enough: 1 }, t.signal);
    const shapes = one?.changes.map((change) => (change.kind === 'ddl' ? change.statement : columnsOf(change)));
    assert.deepEqual(
      shapes?.filter((shape, place) => shape !== shapes[place - 1]),
      ['id v', 'ALTER TABLE public.t ADD extra int', 'id v extra', 'ALTER TABLE public.t DROP extra', 'id v'],
    );
    assert.deepEqual(runsOf(one?.changes ?? []), ['t 0-199', 't 1000-1199', 't 2000-2199']);
  },

  async 'a restart of capture amid one that is open loses nothing of it and doubles nothing'(there, t) {
    const former = there.open();
    const { at } = await copyOf(former, t.signal);
    const client = await there.client();
    await client.rows('BEGIN');
    await client.rows(many(0));
    await there.transact('INSERT INTO public.u VALUES (1000)');
    const [before] = await readFrom(
      former,
      { after: at, enough: 1, each: async ({ end }) => end && former.acknowledge(end) },
      t.signal,
    );
    assert.ok(before);
    await settled(async () => (await streamed(there)) >= 1);
    await former[Symbol.asyncDispose]();
    await client.rows(many(2000));
    await using source = there.open();
    const reading = readFrom(source, { after: before.position, enough: 2 }, t.signal);
    await there.transact('INSERT INTO public.u VALUES (3000)');
    await client.rows(many(4000));
    await client.rows('COMMIT');
    const runs = (await reading).map(({ changes }) => runsOf(changes));
    assert.deepEqual(runs, [['u 3000'], ['t 0-199', 't 2000-2199', 't 4000-4199']]);
  },

  async 'one that is prepared comes when it is committed'(there, t) {
    await using source = there.open();
    const { at } = await copyOf(source, t.signal);
    const reading = readFrom(source, { after: at, enough: 2 }, t.signal);
    for (const id of [0, 1000]) await there.transact(many(id), `PREPARE TRANSACTION 'p${id}'`);
    await settled(async () => (await streamed(there)) >= 2);
    await there.connection.rows(`ROLLBACK PREPARED 'p0'`);
    await there.transact('INSERT INTO public.u VALUES (2000)');
    await there.connection.rows(`COMMIT PREPARED 'p1000'`);
    const runs = (await reading).map(({ changes }) => runsOf(changes));
    assert.deepEqual(runs, [['u 2000'], ['t 1000-1199']]);
  },
};

for (const generation of generations)
  test(`transactions that come before their commit, from ${generation}`, { timeout: 120_000 }, async (t) => {
    await using server = await serverOf(generation, t, settings);
    if (!server) return;
    for (const [name, story] of Object.entries(stories))
      await t.test(name, async (inner) => {
        await using there = await openWorld(server);
        await story(there, inner);
        await settled(async () => (await streamed(there)) > 0);
      });
  });
