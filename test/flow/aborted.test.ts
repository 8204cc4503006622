import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { orAborted } from '../../src/flow/aborted.ts';

test('gives what comes, throws what fails, and leaves both behind at an abort, with nothing left at the signal', async () => {
  const stop = new AbortController();
  assert.equal(await orAborted(Promise.resolve(1), stop.signal), 1);
  await assert.rejects(orAborted(Promise.reject(new RangeError('no')), stop.signal), RangeError);
  const { promise, reject } = Promise.withResolvers<number>();
  const waiting = orAborted(promise, stop.signal);
  assert.equal(getEventListeners(stop.signal, 'abort').length, 1);
  stop.abort();
  assert.equal(await waiting, undefined);
  assert.equal(getEventListeners(stop.signal, 'abort').length, 0);
  // Nobody waits for it any more, and nothing is left unhandled.
  reject(new RangeError('late'));
  assert.equal(await orAborted(Promise.reject(new RangeError('later')), stop.signal), undefined);
});
