import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ChangeoverError, isCode } from '../../src/error.ts';
import { backoffMs } from '../../src/flow/backoff.ts';
import { type Life, supervise } from '../../src/flow/supervise.ts';

const healing = new ChangeoverError('SOURCE_UNREACHABLE', 'away');
const fatal = new ChangeoverError('SOURCE_SLOT_LOST', 'gone');

/** Runs `rounds` one after the other, then aborts; what was told of the life meanwhile. */
async function lifeOf(rounds: readonly ((progressed: () => void) => Promise<void>)[]): Promise<Life[]> {
  const stop = new AbortController();
  const lives: Life[] = [];
  const left = [...rounds];
  await supervise(
    {
      async run(progressed, signal) {
        const round = left.shift();
        if (round) return round(progressed);
        stop.abort();
        signal.throwIfAborted();
      },
      onLife: (life) => lives.push(life),
    },
    stop.signal,
  );
  return lives;
}

test('tries again what can heal, and tells of each try', async () => {
  const fails = () => Promise.reject(healing);
  const lives = await lifeOf([fails, fails]);
  assert.deepEqual(
    lives.map((life) => (life.state === 'retrying' ? [life.attempt, life.error] : life.state)),
    [[1, healing], [2, healing], 'stopped'],
  );
});

test('what made progress starts again from the shortest wait', async () => {
  const fails = () => Promise.reject(healing);
  const works = async (progressed: () => void): Promise<void> => {
    progressed();
    progressed();
    throw healing;
  };
  const lives = await lifeOf([fails, fails, works]);
  assert.deepEqual(
    lives.map((life) => (life.state === 'retrying' ? life.attempt : life.state)),
    [1, 2, 'running', 1, 'stopped'],
  );
});

test('throws at once what cannot heal, and whatever nobody foresaw', async ({ signal }) => {
  const lives: Life[] = [];
  const onLife = (life: Life): void => void lives.push(life);
  const over = (what: unknown) => supervise({ run: () => Promise.reject(what), onLife }, signal);
  await assert.rejects(over(fatal), fatal);
  await assert.rejects(over(new RangeError('x')), (error) => isCode(error, 'ASSERTION'));
  await assert.rejects(supervise({ run: async () => {}, onLife }, signal), (error) => isCode(error, 'ASSERTION'));
  assert.ok(lives.every(({ state }) => state === 'stopped'));
});

test('an abort ends the run and the wait between two tries, and is no error', async () => {
  for (const run of [
    (signal: AbortSignal) => once(signal, 'abort').then(() => undefined),
    () => Promise.reject(healing),
  ]) {
    const stop = new AbortController();
    const lives: Life[] = [];
    setImmediate(() => stop.abort());
    await supervise({ run: (_progressed, signal) => run(signal), onLife: (life) => lives.push(life) }, stop.signal);
    assert.deepEqual(lives.at(-1), { state: 'stopped', error: undefined });
  }
});

test('an error that comes of the abort itself is not reported', async () => {
  const stop = new AbortController();
  const lives: Life[] = [];
  const run = async (): Promise<void> => {
    stop.abort();
    throw fatal;
  };
  await supervise({ run, onLife: (life) => lives.push(life) }, stop.signal);
  assert.deepEqual(lives, [{ state: 'stopped', error: undefined }]);
});

test('a wait doubles with each try up to the longest, and chance moves it within its upper half', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (attempt, chance) => {
        const ceiling = Math.min(15_000, 100 * 2 ** (attempt - 1));
        const waitMs = backoffMs(attempt, chance);
        assert.ok(waitMs >= Math.floor(ceiling / 2) && waitMs <= ceiling, `${waitMs}`);
      },
    ),
  );
  assert.deepEqual(
    [1, 2, 3, 20].map((attempt) => backoffMs(attempt, 0)),
    [50, 100, 200, 7500],
  );
});
