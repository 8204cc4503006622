import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type BrokerServer, type Kind, openBrokerServer } from '../../src/demo/broker-server.ts';
import type { Finding } from '../../src/finding.ts';
import { skipReason } from '../servers/skip.ts';
import type { Running } from './program.ts';
import { openStory } from './world.ts';

export interface OverBroker {
  readonly name: string;
  readonly kind: Kind;
  /** What stands under `broker:` in the plan. */
  readonly plan: (server: BrokerServer, stream?: string) => object;
  /** Whether what it carries is sealed. */
  readonly isSealed?: boolean;
}

/** PostgreSQL to PostgreSQL over a real broker, through bin/changeover. */
export function overBroker({ name, kind, plan, isSealed = false }: OverBroker): void {
  const skip = skipReason(kind);
  if (skip !== undefined) {
    test(`PostgreSQL to PostgreSQL over ${name}`, { skip }, () => undefined);
    return;
  }
  let server: BrokerServer | undefined;
  before(async () => {
    server = await openBrokerServer(kind);
  });
  after(() => server?.[Symbol.asyncDispose]());

  const sealed = isSealed ? ', sealed' : '';
  test(`PostgreSQL to PostgreSQL over ${name}${sealed}, which is killed on the way`, async () => {
    assert.ok(server);
    await using story = await openStory();
    const { primary, secondary } = story.sides;
    const places = { primary: { postgres: primary }, secondary: { postgres: secondary } };
    const broker = { ...plan(server), ...(isSealed && { seal: { key_file: './shop.keys' } }) };
    const whole = { name: story.name, sites: places, primary: 'primary', broker };
    await writeFile(join(story.desk.folder, 'changeover.yaml'), JSON.stringify(whole));
    if (isSealed) assert.equal((await story.desk.ask('keys', 'rotate')).exitCode, 0);
    const run = story.desk.start('run');
    await story.write(20);
    await story.settles();

    if (isSealed) assert.equal((await story.desk.ask('keys', 'rotate')).exitCode, 0);
    await server.kill();
    await story.write(20);
    await run.says(/capture primary: retrying: BROKER_UNREACHABLE .*\n.*hint: /);
    await server.start();
    await run.says(/retrying[^]*capture primary: running/);
    await story.write(20);
    await story.settles();

    const killing = story.write(400);
    await server.kill();
    await server.start();
    await killing;
    await story.settles();

    const { verdict, entries } = await story.desk.ask('log', 'verify');
    assert.equal(verdict, 'WHOLE');
    assert.ok(Number(entries) > 0);
    // One node alone is never beyond reproach.
    const { findings } = await story.desk.ask('check');
    const found = (findings as readonly Finding[]).flatMap(({ site, check }) => (site === 'broker' ? [check] : []));
    assert.ok(found.includes('broker-durability'));
    assert.equal(found.includes('seal'), !isSealed);
    const { next } = await story.desk.ask('log', 'ls');
    assert.ok(Number(next) >= Number(entries));
    await run.stop('SIGTERM');

    // Resumed while the broker is away: it waits for it, and goes on where it stood.
    await server.kill();
    await story.write(20);
    const again = story.desk.start('run');
    await again.says(/waiting for the broker: BROKER_UNREACHABLE .*\n.*hint: /);
    await server.start();
    await story.settles();
    await again.stop('SIGTERM');
  });

  test(`agents that stand by over ${name} follow who ends, and of one that was only asleep and its follower one works`, async () => {
    assert.ok(server);
    await using story = await openStory();
    const { primary, secondary } = story.sides;
    const places = { primary: { postgres: primary }, secondary: { postgres: secondary } };
    const whole = { name: story.name, sites: places, primary: 'primary', broker: plan(server, 'stands') };
    await writeFile(join(story.desk.folder, 'changeover.yaml'), JSON.stringify(whole));
    const capture = story.desk.start('capture', '--standby');
    const apply = story.desk.start('apply', '--standby');
    await story.write(20);
    await story.settles();
    const captures = story.desk.start('capture', '--standby');
    const applies = story.desk.start('apply', '--standby');
    for (const waits of [captures, applies]) await waits.says(/standby: another process does this/);
    await story.write(20);
    await story.settles();

    process.kill(capture.pid, 'SIGSTOP');
    await apply.stop('SIGKILL');
    for (const follows of [captures, applies])
      await follows.says(/standby: it has ended[^]*primary.*: running|standby: it has ended[^]*secondary.*: running/);
    await story.write(20);
    await story.settles();
    const said = new Map([capture, captures].map((one) => [one, one.out.length]));
    const stands = async (one: Running): Promise<Running> => {
      await one.says(/standby: another process does this/, said.get(one));
      return one;
    };
    process.kill(capture.pid, 'SIGCONT');
    // One of them, whoever the broker hears first.
    const waits = await Promise.any([stands(capture), stands(captures)]);
    await (waits === capture ? captures : capture).stop('SIGKILL');
    await waits.says(/standby: it has ended/, said.get(waits));
    await story.write(20);
    await story.settles();
    assert.equal((await story.desk.ask('log', 'verify')).verdict, 'WHOLE');
  });
}
