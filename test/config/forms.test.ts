import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { redactUrl, withPassword } from '../../src/config/address.ts';
import { findConfiguration } from '../../src/config/find.ts';
import { readConfiguration } from '../../src/config/load.ts';
import { renderConfiguration } from '../../src/config/render.ts';
import { configurationFromUrls, loadReplicate, replicateFile, saveReplicate } from '../../src/config/replicate.ts';
import { options } from '../../src/config/schema.ts';
import { template } from '../../src/config/template.ts';
import { formatDurationMs, formatSizeBytes, parseDurationMs, parseSizeBytes } from '../../src/config/units.ts';
import { serversOf } from '../../src/engine/postgres/servers.ts';
import { isCode } from '../../src/error.ts';

const env = { LONDON_URL: 'postgres://app:hunter2@london/shop', DUBLIN_URL: 'postgres://app:hunter2@dublin/shop' };
const folder = '/srv';

async function inTemporaryFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-config-'));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('durations and sizes read back as they were written', () => {
  fc.assert(
    fc.property(fc.nat(), (value) => {
      assert.equal(parseDurationMs(formatDurationMs(value)), value);
      assert.equal(parseSizeBytes(formatSizeBytes(value)), value);
    }),
  );
  assert.deepEqual(
    ['1.5s', '10GB', '64 kb'].map((text) => parseDurationMs(text) ?? parseSizeBytes(text)),
    [1500, 10 * 1024 ** 3, 65_536],
  );
  assert.deepEqual(['', '5', 's', '-5s', '5 s s', '1e3s'].map(parseDurationMs), Array(6).fill(undefined));
});

test('no two options of one mapping say the same of themselves', () => {
  const said = options().map(({ path, page }) => `${path.slice(0, -1).join('.')}: ${page.says}`);
  assert.deepEqual(
    said.filter((one, index) => said.indexOf(one) !== index),
    [],
  );
});

test("init's file loads, and taking away the # of its options changes nothing", () => {
  const { configuration, problems } = readConfiguration(template(), { env, folder });
  assert.deepEqual(problems, []);
  const uncommented = template().replaceAll(/^( *)#(?=[a-z_]+:)/gm, '$1');
  assert.notEqual(uncommented, template());
  assert.deepEqual(readConfiguration(uncommented, { env, folder }).configuration, configuration);
});

test("init's file speaks of every option", () => {
  const silent = options().filter(({ path }) => !template().includes(`# ${path.at(-1)}: `));
  assert.deepEqual(silent, []);
});

test('a rendered configuration means the same and shows no secret', () => {
  const { configuration } = readConfiguration(template(), { env, folder });
  assert(configuration);
  const rendered = renderConfiguration(configuration);
  assert.doesNotMatch(rendered, /hunter2/);
  assert.match(rendered, /postgres:\/\/app:\*\*\*@london\/shop/);
  const again = readConfiguration(rendered, { env, folder: '/elsewhere' }).configuration;
  const sites = configuration.sites.map((site) => ({ ...site, url: redactUrl(site.url) }));
  assert.deepEqual(again, { ...configuration, sites });
});

test('a password is put into any address and taken out again', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, unit: 'grapheme' }), (password) => {
      for (const address of ['postgres://u@h/db', 'postgres:///db?host=/run/postgresql']) {
        const url = withPassword(address, password);
        const { searchParams } = new URL(url);
        assert.equal(searchParams.get('password') ?? decodeURIComponent(new URL(url).password), password);
        assert.match(redactUrl(url), /\*\*\*/);
        assert.equal(redactUrl(url), redactUrl(withPassword(address, 'other')));
      }
    }),
  );
});

test('the plan of replicate is kept in its folder, for the owner only, and found there', () =>
  inTemporaryFolder(async (cwd) => {
    const folder = join(cwd, 'changeover-data');
    const plan = configurationFromUrls(env.LONDON_URL, env.DUBLIN_URL, {
      folder,
      only: ['public.*'],
      leaveOut: ['*.tmp'],
    });
    await saveReplicate(plan);
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    assert.equal((await stat(replicateFile(folder))).mode & 0o777, 0o600);
    assert.deepEqual(await findConfiguration({ file: undefined, cwd, env: {} }), plan);
    assert.deepEqual(plan.tables, [
      { match: '*', leaveOut: true },
      { match: 'public.*' },
      { match: '*.tmp', leaveOut: true },
    ]);
    await writeFile(replicateFile(folder), '{');
    await assert.rejects(loadReplicate(replicateFile(folder)), (error) => isCode(error, 'CONFIG_INVALID'));
  }));

test('a changeover.yaml goes before the folder of replicate, the file asked for before both, and nothing is an error', () =>
  inTemporaryFolder(async (cwd) => {
    const find = (file?: string) => findConfiguration({ file, cwd, env }).then((plan) => plan.name);
    await assert.rejects(find(), (error) => isCode(error, 'CLI_NOTHING_HERE'));
    await saveReplicate(
      configurationFromUrls(env.LONDON_URL, env.DUBLIN_URL, { folder: join(cwd, 'changeover-data') }),
    );
    assert.equal(await find(), 'replicate');
    await writeFile(join(cwd, 'changeover.yaml'), template());
    assert.equal(await find(), 'shop');
    await writeFile(join(cwd, 'other.yaml'), template().replace('name: shop', 'name: other'));
    assert.equal(await find(join(cwd, 'other.yaml')), 'other');
  }));

test('sites are named after their hosts where those differ', () => {
  const names = (from: string, to: string) =>
    configurationFromUrls(from, to, { folder }).sites.map((site) => site.name);
  assert.deepEqual(names('postgres://london/a', 'postgres://dublin/a'), ['london', 'dublin']);
  assert.deepEqual(names('postgres://localhost:5432/a', 'postgres://localhost:5433/a'), ['primary', 'secondary']);
  assert.deepEqual(names('postgres://[::1]/a', 'postgres://h/a'), ['primary', 'secondary']);
});

test('an address may name several hosts, as libpq has them, and is shown as it was written', () => {
  const written = 'postgres://u:hunter2@a:5432,b:5433,[::1]/db?target_session_attrs=read-write';
  const { sites } = configurationFromUrls(written, 'postgres://c,d/db', { folder });
  const [from, to] = sites.map(({ url }) => serversOf(url));
  assert.deepEqual(from, {
    addresses: ['a:5432', 'b:5433', '[::1]'].map((host) => `postgres://u:hunter2@${host}/db`),
    mustLead: true,
  });
  assert.deepEqual(to, { addresses: ['postgres://c/db', 'postgres://d/db'], mustLead: true });
  assert.deepEqual(
    sites.map(({ name, url }) => [name, redactUrl(url)]),
    [
      ['a', 'postgres://u:***@a:5432,b:5433,[::1]/db?target_session_attrs=read-write'],
      ['c', 'postgres://c,d/db'],
    ],
  );
  assert.deepEqual(serversOf('postgres://a/db'), { addresses: ['postgres://a/db'], mustLead: false });
  assert.equal(serversOf('postgres://a/db?target_session_attrs=primary').mustLead, true);
  assert.equal(new URL(withPassword(sites[0]?.url ?? '', 'x,y@z')).searchParams.get('hosts'), 'b:5433,[::1]');
});

test('addresses that cannot be are a usage error that does not quote them', () => {
  for (const [from, to] of [
    ['postgres://u:hunter2@h/db', 'postgres://u:hunter2@h:5432/db'],
    ['mysql://u:hunter2@h/db', 'postgres://h/db'],
    ['postgres://u:hunter2@h', 'postgres://i/db'],
    ['postgres://u:hunter2%zz@h/db', 'postgres://i/db'],
    ['postgres://u:hunter2@h,/db', 'postgres://i/db'],
    ['postgres://u:hunter2@h,i:port/db', 'postgres://i/db'],
    ['postgres://u:hunter2@/db?host=a,b', 'postgres://i/db'],
    ['postgres://u:hunter2@h,j/db?target_session_attrs=standby', 'postgres://i/db'],
  ] as const)
    assert.throws(
      () => configurationFromUrls(from, to, { folder }),
      (error) => isCode(error, 'CLI_USAGE') && error instanceof Error && !error.message.includes('hunter2'),
    );
});
