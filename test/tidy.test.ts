import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const root = new URL('..', import.meta.url).pathname;
const sources = globSync('src/**/*.ts', { cwd: root }).toSorted();
const text = new Map(sources.map((file) => [file, readFileSync(join(root, file), 'utf8')]));

/** The import table of ARCHITECTURE.md: room -> rooms that it may import besides itself. */
const table: Record<string, readonly string[]> = {
  error: [],
  finding: ['error'],
  tls: ['error'],
  telemetry: ['error', 'change'],
  flow: ['error'],
  change: ['error'],
  engine: ['error', 'finding', 'tls', 'flow', 'change'],
  source: ['change', 'flow', 'error', 'finding', 'telemetry'],
  broker: ['change', 'flow', 'error', 'finding', 'telemetry', 'tls'],
  target: ['change', 'flow', 'error', 'finding', 'telemetry'],
  helm: ['change', 'flow', 'error', 'finding', 'telemetry'],
  'source/*': ['source', 'engine', 'change', 'flow', 'error', 'finding', 'telemetry'],
  'broker/*': ['broker', 'change', 'flow', 'error', 'finding', 'telemetry', 'tls'],
  'target/*': ['target', 'engine', 'change', 'flow', 'error', 'finding', 'telemetry'],
  'helm/*': ['helm', 'engine', 'change', 'flow', 'error', 'finding', 'telemetry'],
  capture: ['source', 'broker', 'change', 'flow', 'error', 'telemetry'],
  apply: ['broker', 'target', 'change', 'flow', 'error', 'telemetry'],
  control: ['source', 'broker', 'target', 'helm', 'change', 'flow', 'error', 'finding', 'telemetry'],
  verify: ['source', 'broker', 'target', 'change', 'flow', 'error', 'telemetry'],
  config: ['error', 'tls'],
  cli: [
    'source',
    'broker',
    'target',
    'helm',
    'verify',
    'control',
    'config',
    'telemetry',
    'error',
    'finding',
    'flow',
    'change',
  ],
  demo: ['engine', 'config', 'flow', 'error'],
};
/** Drivers, by the only rooms that may know them. */
const drivers: Record<string, RegExp> = {
  pg: /^src\/engine\/postgres\//,
  'pg-copy-streams': /^src\/(engine|source|target)\/postgres\//,
  '@nats-io/transport-node': /^src\/broker\/nats\//,
  '@platformatic/kafka': /^src\/broker\/kafka\//,
  amqplib: /^src\/broker\/rabbitmq\//,
  '@nats-io/jetstream': /^src\/broker\/nats\//,
  commander: /^src\/(cli|main)/,
  yaml: /^src\/config\//,
  zod: /^src\/config\//,
};

/** `src/source/postgres/slot.ts` is in the room `source/*`, `src/source/source.ts` in `source`, `src/error.ts` in `error`. */
function roomOf(file: string): { room: string; adapter: string | undefined } {
  const [, first = '', second = '', third] = file.split('/');
  if (second === '') return { room: first.replace(/\.ts$/, ''), adapter: undefined };
  if (third !== undefined && ['source', 'broker', 'target', 'helm'].includes(first))
    return { room: `${first}/*`, adapter: second };
  return { room: first, adapter: undefined };
}

const importsOf = (file: string): string[] =>
  [...(text.get(file) ?? '').matchAll(/(?:from|import\()\s*'([^']+)'/g)].map((match) => match[1] ?? '');

const isMainRoom = (file: string): boolean => /^src\/main(\.ts|\/)/.test(file);

test('every import keeps to the table of rooms', () => {
  const broken: string[] = [];
  for (const file of sources) {
    const from = roomOf(file);
    for (const name of importsOf(file)) {
      if (!name.startsWith('.')) continue;
      const target = normalize(join(dirname(file), name));
      const to = roomOf(target);
      if (isMainRoom(target) && !isMainRoom(file)) broken.push(`${file} imports the composition root`);
      if (isMainRoom(file)) continue;
      const allowed = table[from.room];
      if (allowed === undefined) broken.push(`${file} stands in no room of the table`);
      else if (from.room !== to.room && !allowed.includes(to.room)) broken.push(`${file} imports ${target}`);
      if (from.adapter && to.adapter && from.adapter !== to.adapter) broken.push(`${file} knows the adapter ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('a driver is imported only where it is needed', () => {
  const broken = sources.flatMap((file) =>
    importsOf(file)
      .filter((name) => drivers[name] && !drivers[name].test(file))
      .map((name) => `${file} imports ${name}`),
  );
  assert.deepEqual(broken, []);
});

test('no file grows a second reason unseen: at most 400 lines each', () => {
  const long = sources.filter((file) => (text.get(file) ?? '').split('\n').length > 401);
  assert.deepEqual(long, []);
});

test('no file has a name that says nothing', () => {
  const banned = /(^|\/|-)(utils?|helpers?|common|misc|shared|index|manager|handler|info)(\.ts|\/|-)/;
  assert.deepEqual(
    sources.filter((file) => banned.test(file)),
    [],
  );
});

test('no shortcut around the types, the errors or the house rules', () => {
  const rules: [RegExp, string][] = [
    [/(\bas|:|<) ?any\s*[;,)=\]>]/, 'any'],
    [/@ts-(ignore|expect-error|nocheck)/, 'a silenced type error'],
    [/\bexport default\b/, 'a default export'],
    [/^\s*(export )?(const )?enum\b/m, 'an enum'],
    [/\bclass \w+ extends (?!Error\b)/, 'a subclass of ours'],
    [/\bnew Error\(/, 'an error outside the table'],
    [/\bTODO\b|\bFIXME\b|\bXXX\b/, 'a note to self'],
    [/\.on\('copyData'/, "pg's copyData, whose buffers are overwritten"],
  ];
  const broken = sources.flatMap((file) =>
    rules.filter(([pattern]) => pattern.test(text.get(file) ?? '')).map(([, what]) => `${file}: ${what}`),
  );
  assert.deepEqual(broken, []);
});
test('every file of src is imported by another, or is a door', () => {
  const imported = new Set(
    [...sources, ...globSync('{test,bench,docs}/**/*.ts', { cwd: root })].flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map((match) =>
        normalize(join(dirname(file), match[1] ?? '')),
      ),
    ),
  );
  assert.deepEqual(
    sources.filter((file) => file !== 'src/main.ts' && !imported.has(file)),
    [],
  );
});
