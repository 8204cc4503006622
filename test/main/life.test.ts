import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { offset } from '../../src/change/position.ts';
import { readLives } from '../../src/control/agents.ts';
import { LifeTold } from '../../src/main/life.ts';
import { publish } from '../../src/telemetry.ts';

async function told(deeds: () => void) {
  await using made = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'changeover-life-'));
  made.defer(() => rm(folder, { recursive: true, force: true }));
  const lines: string[] = [];
  const life = new LifeTold({ folder, role: 'capture', site: 'london', report: (line) => lines.push(line) });
  deeds();
  await life[Symbol.asyncDispose]();
  return { lines, copy: (await readLives(folder))[0]?.copy };
}

const captured = { offset: offset(3), changes: 0, committedAtUs: undefined };

test('status can tell how far the first copy is while it is read', async () => {
  const { copy } = await told(() => publish('changeover:copying', { rows: 0, bytes: 0, bytesAll: 4096 }));
  assert.deepEqual(copy, { rows: 0, bytes: 0, bytesAll: 4096, bytesPerSecond: 0 });
});

test('how far the copy is goes to people from time to time, not chunk by chunk', async ({ mock }) => {
  let nowMs = 0;
  mock.method(performance, 'now', () => nowMs);
  const { lines, copy } = await told(() => {
    for (let chunk = 0; chunk <= 12; chunk += 1) {
      publish('changeover:copying', { rows: chunk * 1000, bytes: chunk * 1024 ** 2, bytesAll: 16 * 1024 ** 2 });
      publish('changeover:captured', { ...captured, end: undefined });
      nowMs += 1000;
    }
  });
  assert.deepEqual(lines, [
    'capture london: copied 31 % (5.0 MB of 16.0 MB; 5,000 rows) at 1.0 MB/s, about 11 s left',
    'capture london: copied 62 % (10.0 MB of 16.0 MB; 10,000 rows) at 1.0 MB/s, about 6.0 s left',
  ]);
  assert.equal(copy?.rows, 10_000);
});

test('a copy is over when its end is in the log', async () => {
  const { copy } = await told(() => {
    publish('changeover:copying', { rows: 0, bytes: 0, bytesAll: 4096 });
    publish('changeover:captured', { ...captured, end: { origin: '7', order: 9n, token: '0/9' } });
  });
  assert.equal(copy, undefined);
});
