import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { run } from '../servers/postgres.ts';
import { Clients, missingAt, openShop } from './moving.ts';
import { assertEqual } from './sides.ts';

const shop = await openShop();
after(() => shop[Symbol.asyncDispose]());
const { desk, admin, app } = shop;

test('under load the lead goes there and back, and nothing that a client was told is missing', async () => {
  const running = await shop.begin();
  const ready = await desk.ask('switchover', '--to', 'dublin', '--dry-run');
  assert.equal(ready.verdict, 'READY', JSON.stringify(ready));
  await using clients = new Clients(shop);
  await clients.served(50);
  const ways = [
    { to: 'dublin', from: 'london' },
    { to: 'london', from: 'dublin' },
  ] as const;
  for (const { to, from } of ways) {
    const told = await desk.ask('switchover', '--to', to);
    assert.equal(told.verdict, 'SWITCHED OVER', `${JSON.stringify(told)}\n${running.out}`);
    await clients.served(50);
    await assert.rejects(run(app(from), 'SELECT 1'), /not permitted to log in/);
    await desk.caughtUp();
  }
  await clients[Symbol.asyncDispose]();
  await desk.caughtUp();
  assert.deepEqual(await missingAt(admin('london'), clients.acknowledged), []);
  assert.deepEqual(await missingAt(admin('dublin'), clients.acknowledged), []);
  await assertEqual({ primary: admin('london'), secondary: admin('dublin') });
  const tickets = clients.acknowledged.map(({ ticket }) => ticket);
  assert.equal(new Set(tickets).size, tickets.length);
});
