import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { judge, walOf } from '../../src/control/verdict.ts';
import { agent, at, type Changes, checkpoint, nowMs, statusWith, unknown } from './facts.ts';

const gone = { alive: false } as const;
const ago = (ms: number) => ({ known: true, value: BigInt(nowMs - ms) * 1000n }) as const;
const noCheckpoint = { checkpoint: undefined, writing: false };
const asleep = { source: { reading: false }, agents: [] } as const;

/** What is so -> the facts -> the first line of `changeover status`. */
const cases: readonly (readonly [string, Changes, string])[] = [
  ['all is well', {}, 'IN STEP: dublin equals london as of 0/1000, 0.3 s ago'],
  [
    'the secondary is level with the primary',
    { source: { position: at(1000) }, secondary: { appliedAtUs: ago(3_600_000) } },
    'IN STEP: dublin equals london as of 0/1000, the end of its log',
  ],
  [
    "the primary's clock is ahead of ours",
    { secondary: { appliedAtUs: ago(-5000) } },
    'IN STEP: dublin equals london as of 0/1000, 0.0 s ago',
  ],
  ['agents run on another machine', { agents: [] }, 'IN STEP: dublin equals london as of 0/1000, 0.3 s ago'],
  [
    'the secondary is old',
    { secondary: { appliedAtUs: ago(42_000), notApplied: { entries: 1204, bytes: 3_565_158 } } },
    'LAGGING: dublin is 42 s behind london, at 0/1000: 100 B to capture, 1,204 entries (3.4 MB) to apply',
  ],
  [
    'nobody knows how old the secondary is',
    { secondary: { appliedAtUs: { known: true, value: undefined } } },
    'LAGGING: dublin stands at 0/1000; how old that is will be known with the next commit: 100 B to capture',
  ],
  [
    'a table is set aside',
    { target: { setAside: [{ table: { schema: 'public', name: 'bad' }, since: at(500) }] } },
    'INCOMPLETE: dublin equals london as of 0/1000, 0.3 s ago; but for 1 table set aside: public.bad since 0/500',
  ],
  [
    'a table is set aside, and the secondary is old',
    {
      target: { setAside: [{ table: { schema: 'public', name: 'bad' }, since: at(500) }] },
      secondary: { appliedAtUs: ago(42_000) },
    },
    'INCOMPLETE: dublin is 42 s behind london, at 0/1000: 100 B to capture; but for 1 table set aside: public.bad since 0/500',
  ],
  [
    'the primary keeps much for us, and capture does not read',
    { source: { retainedBytes: 9 * 1024 ** 3, kept: 'extended', reading: false } },
    'LAGGING: capture from london runs, but is not connected at this moment; dublin stands at 0/1000; london keeps 9.0 GB of WAL for us, of 10.0 GB (wal_budget), and all of that in 17 m',
  ],
  [
    'the primary keeps more for us than it may',
    { source: { retainedBytes: 12 * 1024 ** 3, kept: 'extended' } },
    'IN STEP: dublin equals london as of 0/1000, 0.3 s ago; london keeps 12.0 GB of WAL for us, of 10.0 GB (wal_budget): over budget',
  ],
  [
    'the primary is about to remove what it keeps for us',
    { source: { retainedBytes: 1024 ** 3, retainedBytesMax: 1024 ** 3, kept: 'unreserved', safeBytes: 0 } },
    'IN STEP: dublin equals london as of 0/1000, 0.3 s ago; london keeps 1.0 GB of WAL for us, of 1.0 GB (max_slot_wal_keep_size), and its next checkpoint may remove it',
  ],
  [
    'the primary removed what was not captured',
    { source: { acknowledged: undefined, kept: 'lost', reading: false, notCapturedBytes: undefined } },
    'STOPPED: london removed WAL that was not captured yet: more was kept for us than max_slot_wal_keep_size; dublin stands at 0/1000',
  ],
  [
    'apply tries again',
    {
      target: { writing: false },
      agents: [agent('capture'), agent('apply', { state: 'retrying', code: 'TARGET_BUSY', message: 'no room' })],
    },
    'LAGGING: apply to dublin tries again: TARGET_BUSY no room; dublin stands at 0/1000',
  ],
  [
    'capture runs but is not connected',
    { source: { reading: false } },
    'LAGGING: capture from london runs, but is not connected at this moment; dublin stands at 0/1000',
  ],
  [
    'capture stopped for good',
    {
      agents: [
        agent('capture', { state: 'stopped', code: 'SOURCE_SLOT_LOST', message: 'Slot changeover_shop is gone' }),
        agent('apply'),
      ],
    },
    'STOPPED: capture from london stopped: SOURCE_SLOT_LOST Slot changeover_shop is gone',
  ],
  [
    'capture died without a word',
    { source: { reading: false }, agents: [agent('capture', gone), agent('apply')] },
    'STOPPED: capture from london does not run; dublin stands at 0/1000',
  ],
  [
    'apply was stopped in order',
    { target: { writing: false }, agents: [agent('capture'), agent('apply', { state: 'stopped' })] },
    'STOPPED: apply to dublin does not run; dublin stands at 0/1000',
  ],
  [
    'the secondary was fed from another log',
    { log: { stream: 'stream-2' } },
    'STOPPED: dublin was fed from another log than the one here',
  ],
  [
    'the primary is another database',
    { source: { position: at(1200, '78') } },
    'STOPPED: dublin was fed from another database than london',
  ],
  [
    'the log is gone',
    { log: unknown('BROKER_EMPTY') },
    'STOPPED: there is no log here, but dublin was fed from one; dublin stands at 0/1000',
  ],
  [
    'the log is corrupt',
    { log: unknown('BROKER_CORRUPT') },
    'STOPPED: the log cannot be read: BROKER_CORRUPT it went wrong',
  ],
  [
    'the log ends before the checkpoint',
    { secondary: { notApplied: undefined, appliedAtUs: unknown('BROKER_GAP') } },
    'STOPPED: the log cannot be read: BROKER_GAP it went wrong',
  ],
  [
    'the primary does not answer',
    { source: unknown('SOURCE_UNREACHABLE') },
    'UNREACHABLE: london cannot be asked: SOURCE_UNREACHABLE it went wrong; dublin stands at 0/1000',
  ],
  [
    'the secondary does not answer',
    { target: unknown('TARGET_LOGIN_REFUSED') },
    'UNREACHABLE: dublin cannot be asked: TARGET_LOGIN_REFUSED it went wrong',
  ],
  [
    'nothing was begun',
    { ...asleep, log: unknown('BROKER_EMPTY'), target: noCheckpoint },
    'NOT STARTED: nothing has come from london to dublin yet',
  ],
  [
    'the copy is being prepared',
    { source: { reading: false }, log: unknown('BROKER_EMPTY'), target: noCheckpoint },
    'COPYING: the first copy of london to dublin is being prepared',
  ],
  [
    'the copy is under way',
    {
      source: { reading: false },
      target: { checkpoint: checkpoint({ position: undefined }) },
      secondary: { notApplied: { entries: 2, bytes: 2048 } },
    },
    'COPYING: dublin is receiving a copy of london and is not usable before it is whole; 2.0 kB of it wait in the log',
  ],
  [
    'the copy is under way, and capture says how far',
    {
      source: { reading: false },
      target: { checkpoint: checkpoint({ position: undefined }) },
      agents: [
        agent('capture', {
          copy: { rows: 1234, bytes: 1024 ** 3, bytesAll: 4 * 1024 ** 3, bytesPerSecond: 1024 ** 2 },
        }),
        agent('apply'),
      ],
    },
    'COPYING: dublin is receiving a copy of london and is not usable before it is whole; 25 % (1.0 GB of 4.0 GB; 1,234 rows) at 1.0 MB/s, about 51 m left',
  ],
  [
    'the copy was interrupted',
    { ...asleep, target: { checkpoint: checkpoint({ position: undefined }), writing: false } },
    'STOPPED: the copy of london to dublin is unfinished, and nobody is at work',
  ],
  [
    'the copy lies in the log, but nobody applies it',
    { ...asleep, target: noCheckpoint },
    'STOPPED: the log has begun, but nothing is applied to dublin, and nobody is at work',
  ],
];

for (const [so, changes, line] of cases) {
  test(`status says it when ${so}`, () => {
    const { verdict, sentence, exitCode } = judge(statusWith(changes));
    assert.equal(`${verdict}: ${sentence}`, line);
    assert.equal(exitCode, verdict === 'IN STEP' ? 0 : 1);
  });
}

test('never says in step when anything was not checked or somebody does not work (invariant 12)', () => {
  const trouble = unknown('SOURCE_UNREACHABLE');
  const defects: readonly Changes[] = [
    { source: trouble },
    { target: trouble },
    { log: trouble },
    { secondary: { appliedAtUs: trouble } },
    { secondary: { notApplied: undefined } },
    { secondary: { appliedAtUs: { known: true, value: undefined } } },
    { source: { reading: false } },
    { source: { notCapturedBytes: undefined } },
    { target: { writing: false } },
    { target: { checkpoint: undefined } },
    { target: { checkpoint: checkpoint({ position: undefined }) } },
  ];
  const some = fc.subarray([...defects], { minLength: 1 });
  fc.assert(
    fc.property(some, fc.constantFrom(undefined, []), (chosen, agents) => {
      const changes: Changes = Object.assign({}, ...chosen, agents && { agents });
      assert.notEqual(judge(statusWith(changes)).verdict, 'IN STEP');
    }),
  );
});

test('the worst secondary speaks for the lane', () => {
  const status = statusWith();
  const [good] = status.secondaries;
  assert(good);
  const bad = { ...good, site: 'cork', target: unknown('TARGET_UNREACHABLE') };
  assert.match(judge({ ...status, secondaries: [good, bad] }).sentence, /^cork cannot be asked/);
});

test('forecasts when what the primary keeps for us reaches the nearer limit', () => {
  const budget = walOf(statusWith({ source: { retainedBytes: 1024 ** 3 } }));
  assert.deepEqual([budget?.limitedBy, budget?.fullInMs], ['wal_budget', 9 * 1024 * 1000]);
  const server = walOf(statusWith({ source: { retainedBytes: 0, retainedBytesMax: 1024 ** 3 } }));
  assert.deepEqual([server?.limitedBy, server?.fullInMs], ['max_slot_wal_keep_size', 1024 * 1000]);
  assert.equal(walOf(statusWith({ agents: [] }))?.fullInMs, undefined);
  const said = { retainedBytes: 0, retainedBytesMax: 1024 ** 3, safeBytes: 1024 ** 2 };
  assert.equal(walOf(statusWith({ source: said }))?.fullInMs, 1000);
});

test('in step is worth a warning when much WAL is kept or somebody else writes at the secondary', () => {
  assert.equal(judge(statusWith()).severity, 'ok');
  assert.equal(judge(statusWith({ source: { retainedBytes: 6 * 1024 ** 3 } })).severity, 'warning');
  assert.equal(judge(statusWith({ source: { retainedBytes: 12 * 1024 ** 3 } })).severity, 'critical');
  assert.equal(judge(statusWith({ source: { kept: 'unreserved' } })).severity, 'critical');
  assert.equal(judge(statusWith({ target: { drifted: 3 } })).severity, 'warning');
});
