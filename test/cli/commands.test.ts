import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Configuration } from '../../src/config/configuration.ts';
import type { Code } from '../../src/error.ts';
import type { Finding } from '../../src/finding.ts';
import { at } from '../control/facts.ts';
import { changeover, failing, houseWith, profile, ring, source, target } from './fake-house.ts';
import { configuredFolder, emptyFolder } from './place.ts';

test('status says the verdict first, then where each part stands', async () => {
  await using folder = await configuredFolder();
  const { out, exitCode } = await changeover(['status'], folder);
  assert.equal(exitCode, 0);
  const [verdict, , ...lines] = out.split('\n');
  assert.equal(verdict, 'IN STEP: dublin equals london as of 0/1000, the end of its log');
  assert.deepEqual(lines.slice(0, 2), [
    '  london  0/1000  captured to 0/1000, 0 B to go',
    '  log     0/1000  2 entries, 200 B, epoch 1',
  ]);
  assert.match(out, /^ {2}WAL kept for us at london {4}2\.0 kB of 10\.0 GB \(wal_budget\)$/m);
});

test('status reports a site that does not answer and still shows the others', async () => {
  await using folder = await configuredFolder();
  const house = houseWith({ targetInspector: failing('TARGET_UNREACHABLE', 'Connecting to dublin: refused') });
  const { out, exitCode } = await changeover(['status'], { ...folder, house });
  assert.equal(exitCode, 1);
  assert.match(out, /^UNREACHABLE: dublin cannot be asked: TARGET_UNREACHABLE Connecting to dublin: refused\nhint: /);
  assert.match(out, /^ {2}london {2}0\/1000/m);
});

test('status --watch looks again until it is stopped', async () => {
  await using folder = await configuredFolder();
  const controller = new AbortController();
  const onOut = (out: string): void => void (out.split('\n').length > 3 && controller.abort());
  const words = ['status', '--watch', '--every', '0.1', '--json'];
  const { out, exitCode } = await changeover(words, { ...folder, signal: controller.signal, onOut });
  assert.equal(exitCode, 0);
  const verdicts = out
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { verdict: string }).verdict);
  assert(verdicts.length >= 3 && verdicts.every((verdict) => verdict === 'IN STEP'), out);
});

test('wait returns once the secondary shows the mark, and waits for one that is away for a moment', async () => {
  await using folder = await configuredFolder();
  let looks = 0;
  const house = houseWith({
    targetInspector: () => {
      looks += 1;
      return looks === 1 ? failing('TARGET_UNREACHABLE', 'away')() : Promise.resolve(target);
    },
  });
  const { out, exitCode } = await changeover(['wait', '--caught-up', '--timeout', '10'], { ...folder, house });
  assert.match(out, /^CAUGHT UP: dublin shows all that london had committed at 0\/1000, after /);
  assert.equal(exitCode, 0);
  assert.equal(looks, 2);
});

test('wait gives up at the deadline and says where the secondary stands', async () => {
  await using folder = await configuredFolder();
  const house = houseWith({
    sourceInspector: () => Promise.resolve({ ...source, mark: () => Promise.resolve(at(2000)) }),
  });
  const { err, out, exitCode } = await changeover(['wait', '--timeout', '0.2'], { ...folder, house });
  assert.equal(exitCode, 1);
  assert.equal(out, '');
  assert.equal(
    err,
    'CONTROL_DEADLINE Not caught up with london after 0.2 s: dublin stands at 0/1000, before 0/2000\nhint: The deadline passed first. See: changeover status.\n',
  );
});

test('a wait that the user breaks off ends without a word, as a shell expects', async () => {
  await using folder = await configuredFolder();
  const controller = new AbortController();
  const house = houseWith({
    sourceInspector: () => Promise.resolve({ ...source, mark: () => Promise.resolve(at(2000)) }),
    targetInspector: () =>
      Promise.resolve({ ...target, observe: (signal) => (controller.abort(), target.observe(signal)) }),
  });
  const printed = await changeover(['wait'], { ...folder, house, signal: controller.signal });
  assert.deepEqual(printed, { out: '', err: '', exitCode: 130 });
});

test('wait refuses a secondary that was fed from another database', async () => {
  await using folder = await configuredFolder();
  const house = houseWith({
    sourceInspector: () => Promise.resolve({ ...source, mark: () => Promise.resolve(at(1, '78')) }),
  });
  const { err, exitCode } = await changeover(['wait'], { ...folder, house });
  assert.match(err, /^BROKER_FOREIGN /);
  assert.equal(exitCode, 3);
});

test('check puts blockers first, each with its cure to paste, and a silent site is one of them', async () => {
  await using folder = await configuredFolder();
  const findings: readonly Finding[] = [
    { severity: 'note', check: 'version', site: 'london', message: 'PostgreSQL 18.1' },
    {
      severity: 'warning',
      check: 'keep-size',
      site: 'london',
      message: 'No limit is set',
      cure: 'alter system set\n  x = 1;',
    },
  ];
  const house = houseWith({
    sourceInspector: () => Promise.resolve({ ...source, check: () => Promise.resolve(findings) }),
    targetInspector: failing('TARGET_LOGIN_REFUSED', 'Connecting to dublin: no'),
  });
  const { out, exitCode } = await changeover(['check'], { ...folder, house });
  assert.equal(exitCode, 1);
  assert.match(
    out,
    /^NOT READY: london to dublin, 1 blocker, 1 warning, 1 note\n\nblocker {2}dublin {2}answers\n {2}Connecting to dublin: no\n/,
  );
  assert.match(out, /\nwarning {2}london {2}keep-size\n {2}No limit is set\n\n {4}alter system set\n {6}x = 1;\n/);
  const ready = await changeover(['check', 'postgres://a/x', 'postgres://b/x'], folder);
  assert.match(ready.out, /^READY: a to b, 0 blockers/);
  assert.equal(ready.exitCode, 0);
});

test('check asks the secondary whether it can hold what the primary holds, and asks it also when the primary is silent', async () => {
  await using folder = await configuredFolder();
  const asked: unknown[] = [];
  const check: typeof target.check = (profile) => Promise.resolve(void asked.push(profile)).then(() => []);
  const targetInspector = () => Promise.resolve({ ...target, check });
  await changeover(['check'], { ...folder, house: houseWith({ targetInspector }) });
  const silent = failing('SOURCE_UNREACHABLE', 'no');
  await changeover(['check'], { ...folder, house: houseWith({ targetInspector, sourceInspector: silent }) });
  assert.deepEqual(asked, [profile, undefined]);
});

test('log ls lists kinds, positions, bytes and times', async () => {
  await using folder = await configuredFolder();
  const { out } = await changeover(['log', 'ls'], folder);
  assert.deepEqual(out.trimEnd().split('\n'), [
    '2 entries, 0 to 1, 200 B, up to 0/1000',
    '',
    '  offset  epoch  end     committed                    bytes  changes',
    '  0       1      0/500   -                            100 B  1 snapshot, 1 schema, 2 rows',
    '  1       1      0/1000  2026-11-22T12:00:00.123456Z  100 B  1 insert, 1 update, 1 delete, 1 truncate, 1 message, 1 commit',
  ]);
  assert.match((await changeover(['log', 'ls', '--limit', '1'], folder)).out, /\n {2}1 {7}1/);
  const beyond = await changeover(['log', 'ls', '--from', '2'], folder);
  assert.match(beyond.err, /^CLI_USAGE The log holds the entries 0 to 1, not 2/);
  assert.equal(beyond.exitCode, 2);
});

test('log show prints the values of an entry, and no value can steer the terminal', async () => {
  await using folder = await configuredFolder();
  const { out } = await changeover(['log', 'show', '1'], folder);
  assert.deepEqual(out.trimEnd().split('\n').slice(2), [
    String.raw`  insert   public.orders id="3" note="a \"b\"\n\u001b[2J"`,
    '  update   public.orders (id="1" note=null) -> id="4" note=(unchanged)',
    '  delete   public.orders (id="2" note=null)',
    '  truncate public.orders cascade',
    '  message  changeover: beat',
    '  commit   733 at 0/1000, 2026-11-22T12:00:00.123456Z',
  ]);
  const copied = await changeover(['log', 'show', '0'], folder);
  assert.match(
    copied.out,
    /rows {5}public\.orders id="1" note="a\\tb\\\\"\n {2}rows {5}public\.orders id="2" note=null\n/,
  );
});

test('log verify names the first broken place', async () => {
  await using folder = await configuredFolder();
  assert.match(
    (await changeover(['log', 'verify'], folder)).out,
    /^WHOLE: 2 entries in 1 segment, 200 B, up to 0\/1000\n$/,
  );
  const house = houseWith({
    async *verifyLog(configuration, signal) {
      for await (const finding of houseWith().verifyLog(configuration, signal))
        if (finding.kind === 'whole')
          yield {
            ...finding,
            kind: 'broken',
            segment: finding.first,
            offset: finding.first,
            position: 24,
            why: 'its checksum is wrong',
          };
        else yield finding;
    },
  });
  const { out, exitCode } = await changeover(['log', 'verify'], { ...folder, house });
  assert.match(
    out,
    /^BROKEN: entry 0: its checksum is wrong\n\n {2}at byte 24 of the segment that begins with entry 0/,
  );
  assert.equal(exitCode, 1);
});

test('init writes a file that check then reads, and replaces one only when told to', async () => {
  await using folder = await emptyFolder();
  assert.match((await changeover(['init'], folder)).out, /^WRITTEN: changeover\.yaml/);
  const refused = await changeover(['init'], folder);
  assert.match(refused.err, /^CLI_REFUSED changeover\.yaml is there already\nhint: changeover init --force/);
  assert.equal(refused.exitCode, 3);
  assert.equal((await changeover(['init', '--force'], folder)).exitCode, 0);
  const missing = await changeover(['check'], folder);
  assert.match(
    missing.err,
    /^CONFIG_SECRET_MISSING changeover\.yaml:\d+:23 sites\.london\.postgres: .* LONDON_URL is not set/,
  );
  const env = { LONDON_URL: 'postgres://london/shop', DUBLIN_URL: 'postgres://dublin/shop' };
  assert.equal((await changeover(['check'], { ...folder, env })).exitCode, 0);
});

test('capture and apply are roles apart, and apply may serve one site', async () => {
  await using folder = await configuredFolder();
  const asked: unknown[] = [];
  const house = houseWith({
    run(_configuration, { roles, restart, site }) {
      asked.push([roles, restart, site]);
      return Promise.resolve();
    },
  });
  for (const words of [['run', '--restart'], ['capture'], ['apply', '--site', 'dublin']])
    assert.equal((await changeover(words, { ...folder, house })).exitCode, 0);
  assert.deepEqual(asked, [
    [['capture', 'apply'], true, undefined],
    [['capture'], false, undefined],
    [['apply'], false, 'dublin'],
  ]);
  const wrong = await changeover(['apply', '--site', 'london'], { ...folder, house });
  assert.match(wrong.err, /^CLI_USAGE london is the primary; --site takes one of dublin/);
});

test('who stands by says so to the house, and gives up no copy of whoever works', async () => {
  await using folder = await configuredFolder();
  const asked: boolean[] = [];
  const house = houseWith({ run: async (_, { standby }) => void asked.push(standby) });
  for (const words of [['capture', '--standby'], ['apply', '--standby'], ['run']])
    assert.equal((await changeover(words, { ...folder, house })).exitCode, 0);
  assert.deepEqual(asked, [true, true, false]);
  const both = await changeover(['run', '--restart', '--standby'], { ...folder, house });
  assert.match(both.err, /^CLI_USAGE --restart and --standby do not go together\nhint: /);
  assert.equal(both.exitCode, 2);
  assert.equal(asked.length, 3);
});

test('run --print-config shows no secret', async () => {
  await using folder = await configuredFolder();
  for (const words of [
    ['run', '--print-config'],
    ['run', '--print-config', '--json'],
  ]) {
    const { out } = await changeover(words, folder);
    assert.doesNotMatch(out, /hunter2/);
    assert.match(out, /postgres:\/\/app:\*\*\*@london\/shop/);
  }
});

test('replicate resumes without arguments, and refuses to resume with other tables', async () => {
  await using folder = await emptyFolder();
  const plans: Configuration[] = [];
  const house = houseWith({ run: (plan) => Promise.resolve(void plans.push(plan)) });
  const replicate = (...words: readonly string[]) => changeover(['replicate', ...words], { ...folder, house });
  const urls = ['postgres://a:hunter2@london/x', 'postgres://a:hunter2@dublin/x'];
  assert.match((await replicate()).err, /^CLI_USAGE Two addresses are needed/);
  assert.equal((await replicate(...urls, '--tables', 'public.*')).exitCode, 0);
  assert.equal((await replicate()).exitCode, 0);
  assert.equal((await replicate(...urls)).exitCode, 0);
  const refused = await replicate(...urls, '--tables', 'other.*');
  assert.match(refused.err, /^CLI_REFUSED changeover-data holds a copy that was begun with other tables/);
  assert.equal(refused.exitCode, 3);
  assert.deepEqual(plans[1], plans[0]);
  assert.deepEqual(plans[2], plans[0]);
  assert.equal((await replicate(...urls, '--tables', 'other.*', '--restart')).exitCode, 0);
  assert.deepEqual(plans[3]?.tables, [{ match: '*', leaveOut: true }, { match: 'other.*' }]);
  const status = await changeover(['status'], { ...folder, house });
  assert.match(status.out, /^IN STEP: dublin equals london/);
});

test('every error is told once, with its exit code: 2 usage, 3 refused for safety, 1 otherwise', async () => {
  await using folder = await configuredFolder();
  const codes: readonly (readonly [Code, number])[] = [
    ['SOURCE_SLOT_LOST', 1],
    ['TARGET_NOT_EMPTY', 3],
    ['BROKER_LOCKED', 3],
    ['CONFIG_INVALID', 2],
  ];
  for (const [code, exitCode] of codes) {
    const house = houseWith({ run: failing(code, 'because', { hint: 'do this' }) });
    const people = await changeover(['run'], { ...folder, house });
    assert.equal(people.err, `${code} because\nhint: do this\n`);
    assert.equal(people.exitCode, exitCode);
    const program = await changeover(['run', '--json'], { ...folder, house });
    assert.equal(program.err, '');
    assert.deepEqual(JSON.parse(program.out.trim().split('\n').at(-1) ?? ''), {
      error: { code, message: 'because', hint: 'do this' },
    });
  }
});

test('a bug shows its place only when asked for', async () => {
  await using folder = await configuredFolder();
  const house = houseWith({ run: () => Promise.reject(new TypeError('x is not a function')) });
  const quiet = await changeover(['run'], { ...folder, house });
  assert.match(quiet.err, /^ASSERTION TypeError: x is not a function\nhint: /);
  assert.doesNotMatch(quiet.err, /\n\s+at /);
  const loud = await changeover(['run'], { ...folder, house, env: { CHANGEOVER_DEBUG: '1' } });
  assert.match(loud.err, /\n\s+at /);
});

test('a configuration with problems lists each in a line', async () => {
  await using folder = await configuredFolder();
  const file = join(folder.cwd, 'changeover.yaml');
  await writeFile(file, `${await readFile(file, 'utf8')}hartbeat: 1s\nheartbeat: x\n`);
  const { err, exitCode } = await changeover(['status'], folder);
  assert.equal(exitCode, 2);
  assert.match(err, /^CONFIG_INVALID changeover\.yaml:6:1 hartbeat: .*\nchangeover\.yaml:7:12 heartbeat: .*\nhint: /);
});

test('keys ls tells which key seals, and keys rotate adds one, unless it is only asked', async () => {
  await using folder = await configuredFolder();
  const held = ring();
  const house = houseWith({ keyRing: () => Promise.resolve(held) });
  const listed = async () => (await changeover(['keys', 'ls'], { ...folder, house })).out;
  const before = await listed();
  assert.match(before, /^2 keys in key file shop\.keys\n\n {2}[0-9a-f]{12} {2}opens\n {2}[0-9a-f]{12} {2}seals, /);
  assert.match((await changeover(['keys', 'rotate', '--dry-run'], { ...folder, house })).out, /^NOTHING DONE: /);
  assert.equal(await listed(), before);
  const { out } = await changeover(['keys', 'rotate'], { ...folder, house });
  const [, key = ''] = /^ROTATED: ([0-9a-f]{12}) seals/.exec(out) ?? assert.fail(out);
  assert.match(await listed(), new RegExp(`^3 keys .*\\n {2}${key} {2}seals, [^\\n]*\\n$`, 's'));
});

test('keys refuses what is not ours to rotate, and says where a ring is missing', async () => {
  await using folder = await configuredFolder();
  const given = { ...ring(), rotate: undefined };
  const refused = await changeover(['keys', 'rotate'], {
    ...folder,
    house: houseWith({ keyRing: () => Promise.resolve(given) }),
  });
  assert.match(refused.err, /^CLI_REFUSED The key file shop\.keys is kept by whoever starts us\nhint: /);
  assert.equal(refused.exitCode, 3);
  const none = await changeover(['keys', 'ls'], {
    ...folder,
    house: houseWith({ keyRing: () => Promise.resolve(undefined) }),
  });
  assert.match(none.err, /^CLI_NOTHING_HERE The configuration asks for no seal\nhint: /);
});
