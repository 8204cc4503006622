import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const leaveMsMax = 20_000;
const demoModule = new URL('../../src/demo/demo.ts', import.meta.url).href;
/** Stops as the command line does. The agents only wait: nothing ever flows. */
const program = (agent: string): string => `
  const { demoWith } = await import('${demoModule}');
  const stop = new AbortController();
  process.on('SIGINT', () => stop.abort());
  process.exitCode = await demoWith('${agent}', { kill: [], json: false, rate: 200 }, stop.signal);`;

/** Everything of the demo names its temporary folder, by its arguments. */
async function leftBehind(folder: string): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'args=']);
  const processes = stdout.split('\n').filter((line) => line.includes(folder) && !line.includes('demoWith'));
  return [...processes, ...(await readdir(folder))];
}

/** Starts a demo and sends `signal` to it, and to nothing else, as soon as it says `phase`. */
async function endedAt(phase: RegExp, signal: 'SIGINT' | 'SIGKILL', t: TestContext): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-leaving-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o755);
  const agent = join(folder, '..', `${folder.split('/').at(-1)}.mjs`);
  await writeFile(agent, 'setInterval(() => {}, 1000);');
  t.after(() => rm(agent));
  const child = spawn(process.execPath, ['--input-type=module', '-e', program(agent)], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  for await (const line of createInterface(child.stdout)) if (phase.test(line)) child.kill(signal);
  await ended;
  const untilMs = performance.now() + (signal === 'SIGKILL' ? leaveMsMax : 0);
  while ((await leftBehind(folder)).length > 0 && performance.now() < untilMs) await sleep(50);
  return leftBehind(folder);
}

for (const phase of ['starting two', 'filling', 'copying'])
  test(`Ctrl-C while ${phase} leaves no process and no folder behind`, async (t) =>
    assert.deepEqual(await endedAt(new RegExp(phase), 'SIGINT', t), []));

for (const phase of ['starting two', 'copying'])
  test(`a demo that is killed while ${phase} leaves no process and no folder behind`, async (t) =>
    assert.deepEqual(await endedAt(new RegExp(phase), 'SIGKILL', t), []));
