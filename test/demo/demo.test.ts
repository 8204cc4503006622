import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { nats } from '../../src/demo/nats.ts';
import { skipReason } from '../servers/skip.ts';

const changeover = new URL('../../bin/changeover', import.meta.url).pathname;

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** What is left in its temporary folder. */
  readonly left: readonly string[];
}

const demo = (t: TestContext, ...values: readonly string[]): Promise<Ran> => demoWith(t, {}, values);

async function demoWith(
  t: TestContext,
  env: Readonly<Record<string, string>>,
  values: readonly string[],
): Promise<Ran> {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-demo-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o755);
  const child = spawn(process.execPath, [changeover, 'demo', ...values], {
    env: { ...process.env, ...env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { code: child.exitCode, out, err, left: await readdir(folder) };
}

test('every part is killed in turn; each time both sides are proved equal and no reading is torn', async (t) => {
  const names = ['apply', 'secondary', 'capture', 'primary'];
  const { code, out, err, left } = await demo(t, '--seconds', '10', '--json', '--rate', '100', '--kill', names.join());
  assert.equal(code, 0, err.slice(-2000));
  const result = JSON.parse(out) as Record<string, unknown> & {
    readonly kills: readonly { part: string; recoveredMs: number; equal: boolean }[];
  };
  assert.deepEqual(
    result.kills.map(({ part, equal }) => [part, equal]),
    names.map((name) => [name, true]),
  );
  assert.ok(
    result.kills.every(({ recoveredMs }) => recoveredMs >= 2000),
    'they stay away for two seconds',
  );
  const { schema, equal, torn, tables, readings, transactions, rowsCompared } = result;
  assert.deepEqual({ schema, equal, torn, tables }, { schema: 'changeover.demo/1', equal: true, torn: 0, tables: 18 });
  assert.ok(Number(readings) > 20 && Number(transactions) > 500 && Number(rowsCompared) > 100_000, out);
  assert.deepEqual(left, []);
});

test('over a broker, the broker is a part that can be killed, and both sides are proved equal after it', {
  skip: skipReason(nats),
}, async (t) => {
  const values = ['--broker', 'nats', '--seconds', '3', '--json', '--rate', '100', '--kill', 'broker'];
  const { code, out, err, left } = await demo(t, ...values);
  assert.equal(code, 0, err.slice(-2000));
  const { broker, equal, kills } = JSON.parse(out) as {
    readonly broker: string;
    readonly equal: boolean;
    readonly kills: readonly { part: string; equal: boolean }[];
  };
  assert.deepEqual({ broker, equal }, { broker: 'nats', equal: true });
  assert.deepEqual(
    kills.map((kill) => [kill.part, kill.equal]),
    [['broker', true]],
  );
  assert.deepEqual(left, []);
});

test('a broker that is not installed is refused with what to install', async (t) => {
  const env = { CHANGEOVER_KAFKA: '/nowhere' };
  const { code, err, left } = await demoWith(t, env, ['--broker', 'kafka', '--seconds', '5']);
  assert.equal(code, 2);
  assert.match(err, /cannot start kafka here: .*(nowhere.*kafka-fetch|apt-get install)/);
  assert.deepEqual(left, []);
});

test('a part that does not exist is refused before anything starts', async (t) => {
  const { code, err, left } = await demo(t, '--seconds', '5', '--kill', 'apply,broker');
  assert.equal(code, 2);
  assert.match(err, /broker[^]*within capture[^]*primary, capture, apply, secondary/);
  assert.deepEqual(left, []);
});
