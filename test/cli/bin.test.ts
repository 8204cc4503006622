import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import memory from '../../bin/memory.json' with { type: 'json' };
import { emptyFolder } from './place.ts';

const program = fileURLToPath(new URL('../../bin/changeover', import.meta.url));
/** Where Node keeps what it made of the sources, where the run of the tests said so. */
const { NODE_COMPILE_CACHE } = process.env;
const compiled = NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE };
const commands = ['replicate', 'init', 'run', 'capture', 'apply', 'check', 'status', 'wait', 'log', 'keys', 'demo'];

interface Start {
  readonly cwd?: string;
  readonly file?: string;
  /** Modules to load first. */
  readonly require?: readonly string[];
}

function start(words: readonly string[], { cwd = '/', file = program, require = [] }: Start = {}) {
  const loads = require.flatMap((module) => ['--require', module]);
  return spawn(process.execPath, [...loads, file, ...words], { cwd, env: { PATH: process.env.PATH, ...compiled } });
}

async function run(words: readonly string[], how: Start = {}) {
  const child = start(words, how);
  const [out, err, [exitCode]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { out, err, exitCode: exitCode as number | null };
}

/** A module that makes the Node that loads it look like an old one. */
async function oldNode(cwd: string): Promise<string> {
  const module = join(cwd, 'old.cjs');
  await writeFile(
    module,
    `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '12.22.0' } });\n`,
  );
  return module;
}

test('every command has help with an example, and help prints no warning', async () => {
  const log = ['ls', 'show', 'verify'].map((verb) => ['log', verb]);
  const keys = ['ls', 'rotate'].map((verb) => ['keys', verb]);
  const helps = [...commands.map((command) => [command]), ...log, ...keys].map(async (words) => {
    const { out, err, exitCode } = await run([...words, '--help']);
    assert.match(out, new RegExp(`Example:\\n  changeover ${words.join(' ')}`), words.join(' '));
    assert.deepEqual([err, exitCode], ['', 0]);
  });
  await Promise.all(helps);
  const { out } = await run([]);
  for (const command of commands) assert.match(out, new RegExp(`^  ${command}  `, 'm'));
});

test('what is not understood exits 2 and is told once', async () => {
  const slips: readonly (readonly [readonly string[], RegExp])[] = [
    [['stats'], /^CLI_USAGE unknown command 'stats'\n\(Did you mean status\?\)\nhint: .*\n$/],
    [['status', '--jsn'], /^CLI_USAGE unknown option '--jsn'\n\(Did you mean --json\?\)\nhint: .*\n$/],
    [['log', 'show'], /^CLI_USAGE missing required argument 'offset'\nhint: .*\n$/],
    [['status'], /^CLI_NOTHING_HERE There is no changeover\.yaml and no changeover-data in .*\nhint: .*\n$/],
    [['status', '-c', 'nowhere.yaml'], /^CONFIG_UNREADABLE nowhere\.yaml cannot be read \(ENOENT\)\nhint: .*\n$/],
  ];
  await using folder = await emptyFolder();
  for (const [words, told] of slips) {
    const { out, err, exitCode } = await run(words, folder);
    assert.match(err, told);
    assert.deepEqual([out, exitCode], ['', 2]);
  }
});

test('starts from any folder and through links', async () => {
  await using folder = await emptyFolder();
  await symlink(program, join(folder.cwd, 'one'));
  await symlink('one', join(folder.cwd, 'two'));
  const { out, exitCode } = await run(['--version'], { ...folder, file: join(folder.cwd, 'two') });
  assert.match(out, /^\d+\.\d+\.\d+\n$/);
  assert.equal(exitCode, 0);
});

test("under an old Node it starts itself again with the project's own", async () => {
  await using folder = await emptyFolder();
  const require = [await oldNode(folder.cwd)];
  const { out, err } = await run(['--version'], { ...folder, require });
  assert.match(out, /^\d+\.\d+\.\d+\n$/, err);
  assert.equal((await run(['nonsense'], { ...folder, require })).exitCode, 2);
});

test('without a new Node or without what npm ci brings it says what is missing', async () => {
  await using folder = await emptyFolder();
  const bin = join(folder.cwd, 'bin');
  await cp(join(program, '..'), bin, { recursive: true });
  const file = join(bin, 'changeover');
  const require = [await oldNode(folder.cwd)];
  const old = await run(['status'], { file, require });
  assert.match(old.err, /^Changeover needs Node 24 or newer; this is v\d.*\nhint: In a clone run: npm ci/);
  assert.equal(old.exitCode, 1);
  assert.match((await run(['status'], { file })).err, /^Changeover is not built: .*\nhint: /);
  await mkdir(join(folder.cwd, 'src'));
  await writeFile(join(folder.cwd, 'src', 'main.ts'), "import 'commander-that-is-not-here';\n");
  assert.match(
    (await run(['status'], { file })).err,
    /^Parts that Changeover needs are not installed\nhint: .*npm ci\n$/,
  );
});

for (const how of ['a new', 'an old'] as const) {
  test(`a signal to ${how} Node ends what runs in order, and its exit code comes through`, async () => {
    await using folder = await emptyFolder();
    const sites =
      'sites: { a: { postgres: "postgres://u@127.0.0.1:1/x" }, b: { postgres: "postgres://u@127.0.0.1:2/x" } }';
    await writeFile(join(folder.cwd, 'changeover.yaml'), `name: x\nprimary: a\n${sites}\n`);
    const require = how === 'an old' ? [await oldNode(folder.cwd)] : [];
    const child = start(['status', '--watch', '--json'], { ...folder, require });
    const exited = once(child, 'exit');
    const [first] = (await once(child.stdout, 'data')) as [Buffer];
    assert.notEqual((JSON.parse(String(first)) as { verdict: string }).verdict, 'IN STEP');
    child.kill('SIGTERM');
    assert.deepEqual(await exited, [1, null]);
  });
}

test('its first line runs Node as memory.json says', async () => {
  const [first] = (await readFile(program, 'utf8')).split('\n');
  const { flags, environment } = memory;
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  assert.equal(first, ['#!/usr/bin/env -S', ...assignments, 'node', ...flags].join(' '));
});
