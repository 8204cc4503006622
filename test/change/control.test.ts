import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decodeBatch, encodeBatch } from '../../src/change/codec.ts';
import { type ControlEvent, decodeControl } from '../../src/change/control.ts';
import { isCode } from '../../src/error.ts';

const told = { id: 'a', atMs: 1_795_348_800_000 };
const loss = {
  toApply: { entries: 2, bytes: 512 },
  notDurableBytes: 0,
  known: { bytes: 344, transactions: 3 },
  coveredAtMs: 1_795_348_790_000,
  boundMs: 10_000,
};
/** One of each kind, as version 1 writes them. */
const events: readonly ControlEvent[] = [
  {
    kind: 'sampled',
    atMs: told.atMs,
    leader: 'london',
    epoch: 1,
    sequences: { 'public.s': { last: '7', called: true } },
  },
  { kind: 'asked', ...told, what: 'failover', from: 'london', to: 'dublin', epoch: 1, loss },
  { kind: 'refused', ...told, code: 'CONTROL_REFUSED', message: 'no' },
  { kind: 'armed', ...told },
  { kind: 'fenced', ...told, roles: ['app'], proved: ['app'], unfenced: ['postgres (psql)'] },
  { kind: 'sealed', ...told, position: '0/1000' },
  { kind: 'proved', ...told, comparison: { equal: 2, rows: 10, notCompared: ['public.big'] }, sequences: 1 },
  { kind: 'promoted', ...told, what: 'failover', from: 'london', leader: 'dublin', epoch: 2 },
  { kind: 'opened', ...told, roles: ['app'] },
  { kind: 'finished', ...told },
  { kind: 'cancelling', ...told, code: 'CONTROL_CANCELLED', message: 'an operator' },
  { kind: 'cancelled', ...told },
];
const position = { origin: '7', order: 4096n, token: '0/1000' };
const batch = {
  after: position,
  starts: true,
  changes: events.map((event) => ({ kind: 'control' as const, event })),
  end: position,
};
const golden = new URL('../golden/control-1/journal.batch', import.meta.url);

test('a journal of version 1 still reads, and is still written so', () => {
  assert.deepEqual(decodeBatch(readFileSync(golden)), batch);
  assert.deepEqual(encodeBatch(batch), readFileSync(golden));
});

test('an entry that no version up to this one wrote is refused: who leads is not guessed', () => {
  for (const text of [
    '',
    '[]',
    'null',
    '{"kind":"armed"}',
    '{"version":2,"kind":"armed"}',
    '{"version":1,"kind":"crowned"}',
  ])
    assert.throws(
      () => decodeControl(Buffer.from(text)),
      (error) => isCode(error, 'BROKER_CORRUPT'),
      text,
    );
});
