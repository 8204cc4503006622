import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const leaveMsMax = 20_000;
const changeover = new URL('../../bin/changeover', import.meta.url).pathname;

/** Everything of the demo names its temporary folder, by its arguments. */
async function leftBehind(folder: string): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'args=']);
  const processes = stdout.split('\n').filter((line) => line.includes(folder));
  return [...processes, ...(await readdir(folder))];
}

/** Starts a demo and sends `signal` to it, and to nothing else, as soon as it says `phase`. */
async function endedAt(phase: RegExp, signal: 'SIGINT' | 'SIGKILL', t: TestContext): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-leaving-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o755);
  const child = spawn(process.execPath, [changeover, 'demo', '--seconds', '6', '--kill', 'apply'], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  let said = false;
  for await (const line of createInterface(child.stdout)) {
    if (!said && phase.test(line)) child.kill(signal);
    said ||= phase.test(line);
  }
  assert.ok(said, `it never said ${phase}`);
  await ended;
  const untilMs = performance.now() + (signal === 'SIGKILL' ? leaveMsMax : 0);
  while ((await leftBehind(folder)).length > 0 && performance.now() < untilMs) await sleep(50);
  return leftBehind(folder);
}

for (const phase of ['starting two', 'filling', 'copying', 'apply killed'])
  test(`Ctrl-C at "${phase}" leaves no process and no folder behind`, async (t) =>
    assert.deepEqual(await endedAt(new RegExp(phase), 'SIGINT', t), []));

for (const phase of ['starting two', 'in step'])
  test(`a demo that is killed at "${phase}" leaves no process and no folder behind`, async (t) =>
    assert.deepEqual(await endedAt(new RegExp(phase), 'SIGKILL', t), []));
