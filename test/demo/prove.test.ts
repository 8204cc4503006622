import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import { compareSides, type Proof, verdict } from '../../src/demo/prove.ts';
import { readSecondary } from '../../src/demo/reading.ts';
import { sampleSchema } from '../../src/demo/schema.ts';
import { openServer } from '../servers/clusters.ts';
import { never, open, run, urlWith } from '../servers/postgres.ts';

let server: PostgresServer;
before(async () => {
  server = await openServer();
  await run(server.url(), 'create database left_side');
  await run(server.url('left_side'), ...sampleSchema({ clients: 2, now: new Date() }));
  const place = `create schema changeover; create table changeover.checkpoint as select '0/1'::text as position_token`;
  await run(
    server.url('left_side'),
    place,
    "insert into shop.visits values (1, 1, '/', '10.0.0.1'), (1, 2, '/', '10.0.0.2')",
  );
});
after(() => server[Symbol.asyncDispose]());

/** A copy of the left side, to be spoiled by one statement. */
async function rightSide(spoil = 'select 1'): Promise<string> {
  const url = urlWith(server.url(), { database: 'right_side' });
  await run(server.url(), 'drop database if exists right_side', 'create database right_side template left_side');
  // No trigger, no key: as only a broken replication could write.
  await run(url, `set session_replication_role = replica; ${spoil}`);
  return url;
}
const compared = async (spoil?: string): Promise<Proof> =>
  compareSides({ primary: server.url('left_side'), secondary: await rightSide(spoil) }, never);

test('two sides with the same rows are equal, in whatever order the rows lie', async () => {
  const proof = await compared(
    'with gone as (delete from shop.documents where id < 100 returning *) insert into shop.documents select * from gone order by id desc',
  );
  assert.deepEqual([proof.equal, proof.tables, proof.differing], [true, 18, []]);
  assert.ok(proof.rows > 100_000);
});

for (const [what, spoil, table] of [
  ['one changed cell', 'update shop.accounts set balance = balance + 0.01 where id = 77', 'shop.accounts'],
  ['a null for an empty text', "update shop.customers set story = '' where id = 1", 'shop.customers'],
  ['one row less', 'delete from shop.order_lines where order_id = 9', 'shop.order_lines'],
  ['a row twice in place of two', "update shop.visits set counter = 1, address = '10.0.0.1'", 'shop.visits'],
  [
    'two rows with their values swapped',
    'update shop.stock set on_hand = case product when 1 then (select on_hand from shop.stock where product = 2) else (select on_hand from shop.stock where product = 1) end where product in (1, 2)',
    'shop.stock',
  ],
  ['a table that is missing', 'drop table shop.visits', 'shop.visits'],
  ['a table that nobody made at the primary', 'create table shop.extra (id int)', 'shop.extra'],
] as const) {
  test(`the proof finds ${what}`, async () => {
    const { equal, differing } = await compared(spoil);
    assert.deepEqual([equal, differing], [false, [table]]);
  });
}

test('two sides without any table are not called equal', () =>
  assert.equal(verdict(new Map(), new Map()).equal, false));

for (const [torn, spoil] of [
  ['money was made or lost', 'update shop.accounts set balance = balance - 1 where id = 5'],
  ['goods were made or lost', 'update shop.stock set on_hand = on_hand - 1 where product = 5'],
  ['an order without its lines', 'delete from shop.order_lines where order_id = 10000 and line = 1'],
  ['a counter without its transfer', 'update shop.clients set counter = 1 where client = 2'],
  [
    'a transaction without those committed before it began',
    `update shop.clients set counter = 1 where client = 2;
     insert into shop.transfers (client, counter, from_account, to_account, amount, seen) values (2, 1, 1, 2, 1, '{1,0}')`,
  ],
] as const) {
  test(`a reading of the secondary notices: ${torn}`, async () => {
    await using connection = await open(await rightSide(spoil));
    assert.deepEqual((await readSecondary(connection)).torn, [torn]);
  });
}
