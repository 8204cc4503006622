import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const root = new URL('..', import.meta.url).pathname;
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: root });

test('every link of a page leads to a file that is there', () => {
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:)([^)#]+)/g)]
      .map(([, link = '']) => normalize(join(dirname(page), link)))
      .filter((file) => !existsSync(join(root, file)))
      .map((file) => `${page} -> ${file}`),
  );
  assert.deepEqual(broken, []);
});

test('every npm script and every verb that the readme names exists', () => {
  const text = read('README.md') + read('CONTRIBUTING.md');
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const named = [...text.matchAll(/npm (?:run )?(demo|test|bench|[a-z]+check|lint|format|docs)\b/g)].map(
    ([, name]) => name,
  );
  assert.deepEqual(
    named.filter((name) => !scripts[name ?? '']),
    [],
  );
  const verbs = [...text.matchAll(/(?:bin\/|`)changeover ([a-z]+)/g)].map(([, verb]) => verb);
  const program = read('src/cli/program.ts') + read('src/cli/orphans-command.ts');
  assert.ok(verbs.length > 5);
  assert.deepEqual(
    verbs.filter((verb) => !new RegExp(`['"]${verb}\\b`).test(program)),
    [],
  );
});

test('the architecture page lists the rooms that the import table knows', () => {
  const page = read('ARCHITECTURE.md');
  const rooms = [
    'error',
    'flow',
    'change',
    'engine/postgres',
    'source',
    'broker',
    'target',
    'capture',
    'verify',
    'control',
    'cli',
  ];
  assert.deepEqual(
    rooms.filter((room) => !page.includes(`\`${room}`)),
    [],
  );
});
