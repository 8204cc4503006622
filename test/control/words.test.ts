import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesWords, countWords, durationWords, grouped } from '../../src/control/words.ts';

test('quantities read as people say them', () => {
  assert.deepEqual([-5, 0, 300, 9949, 9951, 119_400, 3_600_000, 11_400_000, 200_000_000, Infinity].map(durationWords), [
    '0.0 s',
    '0.0 s',
    '0.3 s',
    '9.9 s',
    '10 s',
    '119 s',
    '1 h',
    '3 h 10 m',
    '2 d 7 h',
    'never',
  ]);
  assert.deepEqual([0, 999, 1000, 1024, 10 * 1024 ** 3, 999 * 1024, 1000 * 1024].map(bytesWords), [
    '0 B',
    '999 B',
    '1.0 kB',
    '1.0 kB',
    '10.0 GB',
    '999 kB',
    '1.0 MB',
  ]);
  assert.deepEqual([0, 12, 1234, 1_234_567].map(grouped), ['0', '12', '1,234', '1,234,567']);
  assert.deepEqual(
    [0, 1, 2].map((count) => countWords(count, 'entry', 'entries')),
    ['0 entries', '1 entry', '2 entries'],
  );
});
