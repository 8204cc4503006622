import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import type { Session } from '../src/cli/desk.ts';
import { buildProgram } from '../src/cli/program.ts';
import { readConfiguration } from '../src/config/load.ts';

/* What runs Changeover elsewhere cannot be run here: it must not say what this version does not know. */

const root = new URL('..', import.meta.url).pathname;
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const manifests = globSync('deploy/kubernetes/*.yaml', { cwd: root });
const image = read('Containerfile');

interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: { readonly template: { readonly spec: { readonly containers: readonly Container[] } } };
}

interface Container {
  readonly args: readonly string[];
  readonly readinessProbe?: { readonly exec: { readonly command: readonly string[] } };
}

const documents = manifests.flatMap((file) =>
  parseAllDocuments(read(file)).map((document) => {
    assert.deepEqual(document.errors, [], file);
    return document.toJS() as Manifest;
  }),
);
const containers = documents.flatMap(({ spec }) => spec?.template.spec.containers ?? []);

/** What of the words behind `changeover` this version does not take. */
function unknownIn(words: readonly string[]): readonly string[] {
  let command = buildProgram({} as Session, () => undefined);
  let rest = [...words];
  for (;;) {
    const under = command.commands.find((one) => one.name() === rest[0]);
    if (!under) break;
    command = under;
    rest = rest.slice(1);
  }
  return command.parent ? command.parseOptions(rest).unknown : [...words];
}

test('every command in a manifest, in the image and on the page is one that this version takes, with its options', () => {
  const quoted = [...image.matchAll(/^(?:HEALTHCHECK .*?)?CMD (\[.*\])$/gm)].map(([, list = '[]']) =>
    (JSON.parse(list) as string[]).filter((word) => word !== 'changeover'),
  );
  const written = [...read('docs/deploy/README.md').matchAll(/(?:`|bin\/)changeover ([a-z][^`\n]*)/g)].map(
    ([, words = '']) => words.split(' '),
  );
  const asked = [
    ...quoted,
    ...written,
    ...containers.map(({ args }) => args),
    ...containers.flatMap(({ readinessProbe }) => (readinessProbe ? [readinessProbe.exec.command.slice(1)] : [])),
  ];
  assert.ok(quoted.length === 2 && written.length > 5 && containers.length === 3, 'nothing is looked at');
  assert.deepEqual(
    asked.filter((words) => unknownIn(words).length > 0),
    [],
  );
  assert.deepEqual(unknownIn(['capture', '--stand-by']), ['--stand-by']);
  assert.deepEqual(unknownIn(['captures']), ['captures']);
});

test('every plan in a manifest loads', () => {
  const env = {
    LONDON_URL: 'postgres://london/shop',
    DUBLIN_URL: 'postgres://dublin/shop',
    NATS_URL: 'tls://nats:4222',
    CHANGEOVER_KEYS: '1:0000000000000000000000000000000000000000000000000000000000000000',
  };
  const plans = documents.flatMap(({ data }) => data?.['changeover.yaml'] ?? []);
  assert.equal(plans.length, manifests.length);
  for (const plan of plans) assert.deepEqual(readConfiguration(plan, { env, folder: '/etc/changeover' }).problems, []);
});

test('the image copies what is there, and runs the Node that is asked for', () => {
  const copied = [...image.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, names = '']) => names.split(' '));
  assert.deepEqual(
    copied.filter((name) => !existsSync(join(root, name))),
    [],
  );
  const allowed = read('Containerfile.dockerignore').match(/(?<=^!).+/gm);
  assert.deepEqual(allowed?.toSorted(), copied.toSorted());
  assert.equal(read('.containerignore'), read('Containerfile.dockerignore'));
  const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
  const bases = [...image.matchAll(/^FROM node:(\d+)-/gm)].map(([, major]) => `>=${major}`);
  assert.deepEqual(bases, [engines.node, engines.node]);
});
