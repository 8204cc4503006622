import assert from 'node:assert/strict';
import { after as atTheEnd, test } from 'node:test';
import { run } from '../servers/postgres.ts';
import { type Acknowledged, Clients, missingAt, openShop } from './moving.ts';

const shop = await openShop();
atTheEnd(() => shop[Symbol.asyncDispose]());
const { desk, admin, servers } = shop;
let lost: readonly Acknowledged[] = [];

interface Shown {
  readonly boundMs: number | null;
  readonly knownTransactionsMax: number | null;
  readonly coveredAt: string | null;
}

test('after kill -9 of the primary no more is lost than was said before, and nothing is handed out twice', async () => {
  const running = await shop.begin();
  await using clients = new Clients(shop);
  await clients.served(200);
  const alive = await desk.ask('failover', '--to', 'dublin', '--accept-loss', 'all');
  assert.match(JSON.stringify(alive), /london answers: nothing need be lost/);
  assert.equal(alive.exitCode, 3);
  // Capture stops seeing what is committed, as behind a cut line: there will be something to lose.
  const [walsender] = await run(
    admin('london'),
    `SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'changeover_shop'`,
  );
  process.kill(Number(walsender?.[0]), 'SIGSTOP');
  await clients.served(100);
  await servers.london.stop('kill');
  const killedAtMs = Date.now();
  const asked = await desk.ask('failover', '--to', 'dublin', '--dry-run');
  const shown = asked.loss as Shown;
  const refused = await desk.ask('failover', '--to', 'dublin', '--accept-loss', '0s');
  assert.equal(refused.exitCode, 3, JSON.stringify(refused));
  const told = await desk.ask('failover', '--to', 'dublin', '--accept-loss', '10m');
  assert.equal(told.verdict, 'FAILED OVER', `${JSON.stringify(told)}\n${running.out}`);
  const { coveredAt, boundMs } = told.loss as Shown;
  assert.ok(
    coveredAt !== null && boundMs !== null && shown.boundMs !== null && boundMs >= shown.boundMs,
    JSON.stringify(told),
  );
  await clients.served(100);
  await clients[Symbol.asyncDispose]();
  const before = clients.acknowledged.filter(({ sentAtMs }) => sentAtMs <= killedAtMs);
  const after = clients.acknowledged.filter(({ sentAtMs }) => sentAtMs > killedAtMs);
  lost = await missingAt(admin('dublin'), before);
  assert.ok(lost.length > 0, 'Nothing was lost: the test does not try what it says');
  for (const { sentAtMs } of lost)
    assert.ok(sentAtMs >= Date.parse(coveredAt), 'What was said to be in the log is lost');
  assert.ok(after.length >= 100);
  assert.deepEqual(await missingAt(admin('dublin'), after), []);
  for (const what of ['id', 'ticket'] as const) {
    const issued = new Set(before.map((one) => one[what]));
    assert.deepEqual(
      after.filter((one) => issued.has(one[what])),
      [],
    );
  }
  assert.equal(clients.doubles, 0);
  const status = await desk.ask('status');
  assert.equal((status.primary as { site: string }).site, 'dublin');
  const back = await desk.ask('switchover', '--to', 'london');
  assert.equal(back.exitCode, 3, JSON.stringify(back));
});

test('what a returned primary committed beyond the log is listed exactly, and shut in', async () => {
  const before = await desk.ask('orphans', 'ls');
  assert.match(JSON.stringify(before), /CLI_NOTHING_HERE/);
  await servers.london.start();
  const dry = await desk.ask('orphans', 'collect', '--dry-run');
  assert.equal(dry.verdict, 'NOTHING DONE', JSON.stringify(dry));
  const collected = await desk.ask('orphans', 'collect');
  assert.equal(collected.verdict, 'COLLECTED', JSON.stringify(collected));
  assert.deepEqual(Object.keys(collected).toSorted(), Object.keys(dry).toSorted());
  await assert.rejects(run(shop.app('london'), 'SELECT 1'));
  // The whole of what one side has and the other has not, also what nobody was told of.
  const have = async (site: 'london' | 'dublin'): Promise<readonly string[]> =>
    (await run(admin(site), 'SELECT client, n FROM public.orders')).map((row) => row.join(' '));
  const there = new Set(await have('dublin'));
  const beyond = (await have('london')).filter((order) => !there.has(order));
  const exported = (await desk.run('orphans', 'export')).out.trim().split('\n');
  const listed = exported.map((text) => {
    const { changes } = JSON.parse(text) as { changes: unknown };
    const [order, line, ...more] = changes as readonly { kind: string; after: Readonly<Record<string, string>> }[];
    assert.deepEqual([order?.kind, line?.kind, more], ['insert', 'insert', []]);
    assert.equal(line?.after.order_id, order?.after.id);
    return `${order?.after.client} ${order?.after.n}`;
  });
  assert.ok(lost.length > 0);
  assert.deepEqual(listed.toSorted(), beyond.toSorted());
  for (const { client, n } of lost)
    assert.ok(listed.includes(`${client} ${n}`), 'An acknowledged order is in no ledger');
  const again = await desk.ask('orphans', 'collect');
  assert.equal(again.orphans, collected.orphans);
  const list = await desk.ask('orphans', 'ls');
  assert.equal(list.whole, true);
  assert.equal((list.orphans as readonly object[]).length, listed.length);
});
