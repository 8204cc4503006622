import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeLife } from '../../src/control/agents.ts';
import { ChangeoverError } from '../../src/error.ts';
import { changeover, failing, houseWith, source } from './fake-house.ts';
import { configuredFolder, emptyFolder } from './place.ts';
import { differingHouse } from './rows-house.ts';

const page = await readFile(new URL('../../docs/json.md', import.meta.url), 'utf8');
const examples = [...page.matchAll(/^```json\n(.*?)^```$/gms)].map(([, text = '']) => JSON.parse(text) as object);

/** What is promised: the keys and the type of each value; of a list its first item; below `free` keys nothing. */
function shapeOf(value: unknown): unknown {
  const free = ['kinds', 'changes', 'configuration'];
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (typeof value !== 'object' || value === null) return typeof value;
  const entries = Object.entries(value).map(([key, item]) => [key, free.includes(key) ? typeof item : shapeOf(item)]);
  return Object.fromEntries(entries);
}

const promised = (schema: string): object => {
  const example = examples.find((one) => 'schema' in one && one.schema === schema);
  assert(example, `docs/json.md has an example of ${schema}`);
  return example;
};

const brokenLog = houseWith({
  async *verifyLog(configuration, signal) {
    for await (const finding of houseWith().verifyLog(configuration, signal))
      if (finding.kind === 'whole')
        yield { ...finding, kind: 'broken', segment: finding.first, offset: finding.first, position: 24, why: 'x' };
      else yield finding;
  },
});
const blocked = houseWith({
  sourceInspector: () =>
    Promise.resolve({
      ...source,
      check: () =>
        Promise.resolve([
          {
            severity: 'blocker',
            check: 'c',
            site: 'london',
            message: 'm',
            cure: 'c',
            code: 'SOURCE_UNSUITABLE',
          } as const,
        ]),
    }),
});

/** Words -> the shape that comes back, and from which house. */
const answers: readonly (readonly [readonly string[], string, ReturnType<typeof houseWith>])[] = [
  [['status'], 'changeover.status/1', houseWith()],
  [['wait'], 'changeover.wait/1', houseWith()],
  [['check'], 'changeover.check/1', blocked],
  [['verify', '--values'], 'changeover.verify/1', differingHouse()],
  [['repair', '--dry-run'], 'changeover.repair/1', differingHouse()],
  [['set-aside', 'orders'], 'changeover.set-aside/1', differingHouse()],
  [['resync'], 'changeover.resync/1', houseWith()],
  [['snapshot', 'orders'], 'changeover.snapshot/1', differingHouse()],
  [['switchover', '--to', 'dublin', '--dry-run'], 'changeover.switchover.dry-run/1', houseWith()],
  [['failover', '--to', 'dublin', '--dry-run'], 'changeover.failover.dry-run/1', houseWith()],
  [['orphans', 'ls'], 'changeover.orphans.ls/1', houseWith()],
  [['orphans', 'show', '733'], 'changeover.orphans.show/1', houseWith()],
  [['orphans', 'export'], 'changeover.orphans.show/1', houseWith()],
  [['log', 'ls', '--limit', '1'], 'changeover.log.ls/1', houseWith()],
  [['log', 'show', '1'], 'changeover.log.show/1', houseWith()],
  [['log', 'verify'], 'changeover.log.verify/1', brokenLog],
  [['keys', 'ls'], 'changeover.keys.ls/1', houseWith()],
  [['keys', 'rotate'], 'changeover.keys.rotate/1', houseWith()],
  [['run'], 'changeover.report/1', houseWith()],
  [['run', '--print-config'], 'changeover.config/1', houseWith()],
];

for (const [words, schema, house] of answers) {
  test(`changeover ${words.join(' ')} --json answers in the shape ${schema} of docs/json.md`, async () => {
    await using folder = await configuredFolder();
    const walBytesPerSecond = 1024;
    await writeLife(join(folder.cwd, 'changeover-data'), {
      role: 'capture',
      site: 'london',
      state: 'running',
      walBytesPerSecond,
    });
    const { out } = await changeover([...words, '--json'], { ...folder, house });
    const [first = ''] = out.split('\n');
    assert.deepEqual(shapeOf(JSON.parse(first)), shapeOf(promised(schema)));
  });
}

test('every shape has its example, and the shape of an error is the promised one', async () => {
  await using folder = await emptyFolder();
  const init = await changeover(['init', '--json'], folder);
  assert.deepEqual(shapeOf(JSON.parse(init.out)), shapeOf(promised('changeover.init/1')));
  const failed = await changeover(['nonsense', '--json'], folder);
  assert.equal(failed.exitCode, 2);
  assert.deepEqual(shapeOf(JSON.parse(failed.out)), shapeOf(examples.find((example) => 'error' in example)));
});

test('status keeps every key when nothing answers', async () => {
  await using folder = await configuredFolder();
  const nothing = failing('SOURCE_UNREACHABLE', 'refused');
  const house = houseWith({
    sourceInspector: nothing,
    targetInspector: nothing,
    logReader: failing('BROKER_EMPTY', 'none'),
  });
  const { out } = await changeover(['status', '--json'], { ...folder, house });
  const keysOf = (value: object): readonly string[] =>
    Object.entries(value).flatMap(([key, item]: [string, unknown]) =>
      typeof item === 'object' && item !== null && !['error', 'agents', 'setAside'].includes(key)
        ? keysOf(item).map((inner) => `${key}.${inner}`)
        : [key],
    );
  assert.deepEqual(keysOf(JSON.parse(out) as object), keysOf(promised('changeover.status/1')));
});

test('status names an agent that works, one that gave up and one that vanished', async () => {
  await using folder = await configuredFolder();
  const data = join(folder.cwd, 'changeover-data');
  const error = new ChangeoverError('TARGET_DRIFT', 'a row is missing', { hint: 'copy anew' });
  await writeLife(data, { role: 'capture', site: 'london', state: 'running', sinceMs: 0 });
  await writeLife(data, { role: 'apply', site: 'dublin', state: 'stopped', sinceMs: 0, error });
  const cork = { role: 'apply', site: 'cork', state: 'running', sinceMs: 0, host: hostname(), pid: await deadPid() };
  await writeFile(join(data, 'agents', 'apply-cork.json'), JSON.stringify(cork));
  await writeFile(join(data, 'agents', 'torn.json'), '{"role":"app');
  const { out } = await changeover(['status', '--json'], folder);
  const { agents, sentence } = JSON.parse(out) as Record<string, unknown>;
  const same = { since: '1970-01-01T00:00:00.000Z', host: hostname(), pid: process.pid, copy: null, error: null };
  assert.deepEqual(agents, [
    { ...same, role: 'apply', site: 'cork', state: 'gone', pid: cork.pid },
    {
      ...same,
      role: 'apply',
      site: 'dublin',
      state: 'stopped',
      error: { code: 'TARGET_DRIFT', message: 'a row is missing', hint: 'copy anew' },
    },
    { ...same, role: 'capture', site: 'london', state: 'running' },
  ]);
  assert.equal(sentence, 'apply to dublin stopped: TARGET_DRIFT a row is missing');
});

/** The number of a process that has ended. */
async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['--eval', '']);
  await once(child, 'exit');
  return child.pid ?? 0;
}
