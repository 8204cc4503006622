import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openLogReader } from '../../src/broker/log/reader.ts';
import { openLogBroker } from '../../src/broker/log/writer.ts';
import { type Offset, offset } from '../../src/change/position.ts';
import { whole } from './batches.ts';
import { seeded } from './disks.ts';
import { temporaryFolder, verdictOn } from './folder.ts';

const program = new URL('log-writer.ts', import.meta.url).pathname;

interface WriterProcess extends AsyncDisposable {
  readonly lines: Interface;
  /** Kills it and waits for its end, which frees the lock. */
  kill(): Promise<void>;
}

function startWriter(folder: string, seed: number): WriterProcess {
  const child = spawn(process.execPath, [program, folder, String(seed)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  return { lines: createInterface({ input: child.stdout }), kill, [Symbol.asyncDispose]: kill };
}

/** Lets a writer acknowledge so many appends, and a moment more, then kills it. Returns the highest offset that it acknowledged. */
async function writeAndKill(folder: string, seed: number): Promise<number> {
  const chance = seeded(seed);
  await using writer = startWriter(folder, seed);
  let left = 1 + Math.floor(chance() * 300);
  let highest = -1;
  for await (const line of writer.lines) {
    assert.match(line, /^\d+$/);
    highest = Math.max(highest, Number(line));
    left -= 1;
    if (left === 0) void sleep(chance() * 3).then(() => writer.kill());
  }
  return highest;
}

test('whatever a killed writer acknowledged is there, and a reader of another process saw an exact prefix', {
  timeout: 120_000,
}, async ({ signal }) => {
  await using folder = await temporaryFolder();
  await (await openLogBroker({ folder: folder.path }, signal))[Symbol.asyncDispose]();
  await using reader = await openLogReader({ folder: folder.path }, signal);
  let seen: Offset = offset(0);
  const leave = new AbortController();
  const { promise: caughtUp, resolve } = Promise.withResolvers<void>();
  let until = Number.POSITIVE_INFINITY;
  const reading = (async () => {
    for await (const entry of reader.read(offset(0), leave.signal)) {
      const order = seen + 1;
      assert.equal(entry.offset, seen);
      assert.deepEqual(entry.batch, whole(order, (order * 7919) % 5000));
      seen = offset(order);
      if (seen >= until) resolve();
    }
  })();
  for (let seed = 1; seed <= 20; seed += 1) {
    const highest = await writeAndKill(folder.path, seed);
    const verdict = await verdictOn(folder.path, signal);
    assert.ok(
      verdict?.kind === 'whole' && verdict.state.next > highest,
      `seed ${seed}: ${JSON.stringify(verdict?.kind)}`,
    );
  }
  {
    await using writer = await openLogBroker({ folder: folder.path }, signal);
    until = Number((await writer.tail())?.order);
  }
  if (seen < until) await Promise.race([caughtUp, reading]);
  assert.equal(seen, until);
  leave.abort();
  await reading;
});

test('a second process is refused while one writes, and let in once that one was killed', {
  timeout: 60_000,
}, async ({ signal }) => {
  await using folder = await temporaryFolder();
  await using writer = startWriter(folder.path, 1);
  await once(writer.lines, 'line');
  await using second = startWriter(folder.path, 2);
  assert.deepEqual(await once(second.lines, 'line'), ['BROKER_LOCKED']);
  await writer.kill();
  await using own = await openLogBroker({ folder: folder.path }, signal);
  assert.ok(await own.tail());
});
