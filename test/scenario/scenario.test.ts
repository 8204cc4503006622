import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Story } from './story.ts';

const folder = new URL('.', import.meta.url).pathname;
for (const name of globSync('*.txt', { cwd: folder }).toSorted()) {
  const text = readFileSync(`${folder}${name}`, 'utf8');
  test(`who leads: ${text.split('\n')[0]?.slice(2)}`, () => assert.equal(new Story().play(text), text));
}
