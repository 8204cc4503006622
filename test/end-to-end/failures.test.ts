import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { open, run, urlWith } from '../servers/postgres.ts';
import { until } from './program.ts';
import { openProxy } from './proxy.ts';
import { openStory, times } from './world.ts';

test('a side that is down at the first start is named at once, and nothing is left waiting', async () => {
  await using story = await openStory();
  const { from, to } = story.world;
  for (const server of [from, to]) {
    await server.stop('fast');
    assert.match(await story.refused(), new RegExp(`127.0.0.1:${server.port}`));
    await server.start();
  }
  await story.replicate();
  await story.settles();
});

test('a side that dies, or is down when a lane resumes, is told once and caught up with', async () => {
  await using story = await openStory();
  const { from, to } = story.world;
  const replicate = await story.replicate();
  await story.settles();
  await to.stop('kill');
  await replicate.says(/apply secondary: retrying: TARGET_UNREACHABLE .*\n.*hint: /);
  await story.write(20);
  await to.start();
  await replicate.says(/retrying[^]*apply secondary: running/);
  await story.settles();
  await story.write(20);
  await from.stop('kill');
  await replicate.says(/capture primary: retrying: SOURCE_UNREACHABLE .*\n.*hint: /);
  await from.start();
  await story.write(20);
  await story.settles();
  for (const code of ['TARGET_UNREACHABLE', 'SOURCE_UNREACHABLE'])
    assert.equal(times(replicate.out, new RegExp(code)), 1, replicate.out);
  await replicate.stop('SIGTERM');
  await story.write(20);
  await from.stop('fast');
  await to.stop('fast');
  const again = await story.replicate();
  await again.says(/retrying: SOURCE_UNREACHABLE/);
  await again.says(/retrying: TARGET_UNREACHABLE/);
  await from.start();
  await to.start();
  await story.settles();
});

test('a transaction that comes before its commit, and amid which capture is killed again and again, comes whole and once', async () => {
  await using story = await openStory();
  const { primary, secondary } = story.sides;
  await story.streamsFrom('64kB');
  await run(primary, 'CREATE TABLE public.large (id int PRIMARY KEY, words text)');
  await using client = await open(primary);
  await client.rows('BEGIN');
  for (const part of [0, 1, 2]) {
    const replicate = await story.replicate();
    await story.write(3);
    await story.desk.caughtUp();
    const before = await story.blocksSent();
    await client.rows(
      `INSERT INTO public.large SELECT n, repeat(md5(n::text), 20) FROM generate_series(${part * 2000}, ${part * 2000 + 1999}) n`,
    );
    await until('some of it came', async () => (await story.blocksSent()) > before);
    assert.deepEqual(await run(secondary, 'SELECT count(*) FROM public.large'), [['0']]);
    await replicate.stop('SIGKILL');
  }
  await story.replicate();
  await client.rows('COMMIT');
  await story.write(3);
  await story.settles();
});

test('a wrong password is refused at once, at either side', async () => {
  await using story = await openStory();
  const { primary, secondary } = story.sides;
  const wrong = (url: string): string => urlWith(url, { password: 'swordfish' });
  for (const sides of [
    { primary: wrong(primary), secondary },
    { primary, secondary: wrong(secondary) },
  ]) {
    const { exitCode, err, out } = await story.desk.run('replicate', sides.primary, sides.secondary);
    assert.equal(exitCode, 1);
    assert.match(err, /password authentication failed.*\nhint: /);
    assert.doesNotMatch(out + err, /swordfish/);
  }
});

test('a password that changes stops the side that it belongs to, and the log takes the changes of the other', async () => {
  await using story = await openStory();
  const { from, to } = story.world;
  const roles = ['ALTER ROLE app SUPERUSER LOGIN PASSWORD $$right$$'];
  for (const server of [from, to]) await run(server.url(), 'CREATE ROLE app', ...roles);
  const asApp = (url: string): string => urlWith(url, { user: 'app', password: 'right' });
  const desk = story.desk;
  const sides = { primary: asApp(story.sides.primary), secondary: asApp(story.sides.secondary) };
  const start = (): Promise<Awaited<ReturnType<typeof desk.replicate>>> => desk.replicate(sides, '--name', story.name);
  const spoil = (url: string): Promise<unknown> =>
    run(
      url,
      'ALTER ROLE app PASSWORD $$other$$',
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'`,
    );
  const first = await start();
  await story.settles();
  await spoil(to.url());
  await first.says(/apply secondary: stopped: TARGET_LOGIN_REFUSED .*\n.*hint: /);
  const { next } = await desk.ask('log', 'ls');
  await story.write(20);
  const status = await desk.ask('log', 'ls', '--from', String(next));
  assert.ok((status.entries as readonly unknown[]).length > 0);
  await run(to.url(), ...roles);
  await first.stop('SIGTERM');
  const second = await start();
  await story.settles();
  await spoil(from.url());
  const { exitCode, err } = await second.ended();
  assert.equal(exitCode, 1);
  assert.match(err, /^SOURCE_LOGIN_REFUSED .*\nhint: /);
  await run(from.url(), ...roles);
  await start();
  await story.write(5);
  await story.settles();
});

test('a network that resets or swallows connections is got over', async () => {
  await using story = await openStory();
  const { from, to } = story.world;
  await using near = await openProxy(from.port);
  await using far = await openProxy(to.port);
  const sides = { primary: near.url(story.sides.primary), secondary: far.url(story.sides.secondary) };
  const { name } = story;
  const places = { near: { postgres: sides.primary }, far: { postgres: sides.secondary } };
  const plan = { name, sites: places, primary: 'near', unheard_after: '1s' };
  await writeFile(join(story.desk.folder, 'changeover.yaml'), JSON.stringify(plan));
  const replicate = story.desk.start('run');
  await story.settles();
  for (const proxy of [near, far]) {
    proxy.reset();
    await story.write(10);
    await story.settles();
  }
  for (const proxy of [near, far]) {
    proxy.freeze();
    await story.write(10);
    await story.settles();
  }
  for (const code of ['SOURCE', 'TARGET'])
    assert.match(replicate.out, new RegExp(`${code}_UNREACHABLE Nothing was heard`));
});
