import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { keptStanding } from '../../src/control/standing.ts';
import { run } from '../servers/postgres.ts';
import { Clients, missingAt, openShop, type SiteName } from './moving.ts';
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
    // Capture is behind when the fence falls: the end of the log is not where it stands then.
    const walsender = await holdWalsender(from);
    await clients.served(20);
    const moving = desk.start('switchover', '--to', to);
    await moving.says(/fenced:/);
    walsender.resume();
    const { exitCode, out, err } = await moving.ended();
    assert.equal(exitCode, 0, `${out}${err}\n${running.out}`);
    assert.match(out, new RegExp(`^SWITCHED OVER: ${to} leads in epoch `, 'm'));
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
  assert.equal(clients.doubles, 0);
  await running.stop('SIGTERM');
});

test('a superuser who writes on stops the switchover, and the writers are let in again', async () => {
  const running = await shop.begin();
  const from = await leader();
  assert.ok(from === 'london' || from === 'dublin');
  const stop = new AbortController();
  const writing = (async () => {
    for (let n = 0; !stop.signal.aborted; n += 1)
      await run(admin(from), `INSERT INTO public.orders (client, n) VALUES (99, ${n})`).catch(() => undefined);
  })();
  const told = await desk.ask('switchover', '--to', from === 'london' ? 'dublin' : 'london');
  stop.abort();
  await writing;
  assert.equal(told.verdict, 'CANCELLED', JSON.stringify(told));
  assert.equal((told.reason as { code: string }).code, 'CONTROL_FENCE_OPEN');
  assert.equal(told.exitCode, 1);
  await run(app(from), 'SELECT 1');
  assert.equal(await leader(), from);
  await running.stop('SIGTERM');
});

/** What the command says when an entry is in the journal. `CHANGEOVER_KILLS=all`: a kill behind each of them. */
const stages = {
  all: [/switchover from/, /armed:/, /fenced:/, /sealed:/, /proved:/, /promoted:/, /opened:/],
  some: [/fenced:/, /proved:/, /promoted:/],
};
const chosen = process.env.CHANGEOVER_KILLS === 'all' ? stages.all : stages.some;

test('whoever comes behind a coordinator that was killed finds one leader, and nothing lost', async () => {
  const before = await shop.begin();
  await before.stop('SIGTERM');
  await using clients = new Clients(shop, 2, 10);
  const cancelled: boolean[] = [];
  for (const stage of chosen) {
    const to = (await leader()) === 'london' ? 'dublin' : 'london';
    // Nobody else is at work: the command coordinates itself.
    const killed = desk.start('switchover', '--to', to);
    await killed.says(stage);
    await killed.stop('SIGKILL');
    const { exitCode, out, err } = await desk.run('switchover', '--cancel');
    assert.equal(exitCode, /CANCELLED/.test(out) ? 0 : 3, `${stage} ${out}${err}`);
    await clients.served(20);
    const openAt = await Promise.all([isOpen('london'), isOpen('dublin')]);
    const leads = await leader();
    assert.deepEqual(openAt, [leads === 'london', leads === 'dublin'], `${stage} ${out}`);
    cancelled.push(/CANCELLED/.test(out));
  }
  const pastNoReturn = chosen.findIndex((stage) => stage.test('promoted:'));
  assert.deepEqual(
    cancelled,
    chosen.map((_, index) => index < pastNoReturn),
  );
  const running = await shop.begin();
  await clients[Symbol.asyncDispose]();
  await desk.caughtUp();
  await running.stop('SIGTERM');
  for (const site of ['london', 'dublin'] as const)
    assert.deepEqual(await missingAt(admin(site), clients.acknowledged), [], site);
  await assertEqual({ primary: admin('london'), secondary: admin('dublin') });
});

/** The primary's process that sends the stream does not go on before it is told to. */
async function holdWalsender(site: SiteName): Promise<{ readonly resume: () => void }> {
  const [row] = await run(
    admin(site),
    "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'changeover_shop'",
  );
  const pid = Number(row?.[0]);
  process.kill(pid, 'SIGSTOP');
  return { resume: () => void process.kill(pid, 'SIGCONT') };
}

const leader = async (): Promise<string | undefined> =>
  (await keptStanding(join(desk.folder, 'data')))?.standing.leader;

async function isOpen(site: SiteName): Promise<boolean> {
  const rows = await run(admin(site), "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'app'");
  return rows[0]?.[0] === 't';
}
