import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { documents } from '../docs/generate.ts';

for (const [name, text] of Object.entries(documents())) {
  test(`docs/${name} says what the code says; if not, npm run docs writes it anew`, async () => {
    assert.equal(await readFile(new URL(`../docs/${name}`, import.meta.url), 'utf8'), text);
  });
}
