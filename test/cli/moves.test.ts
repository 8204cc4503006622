import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BrokerReader } from '../../src/broker/broker.ts';
import { type MemoryBroker, openMemoryBroker } from '../../src/broker/memory/memory.ts';
import type { ControlEvent } from '../../src/change/control.ts';
import { epoch, offset } from '../../src/change/position.ts';
import type { House } from '../../src/cli/house.ts';
import { openRequests } from '../../src/control/requests.ts';
import { keepStanding } from '../../src/control/standing.ts';
import { firstStanding } from '../../src/control/state.ts';
import { at, checkpoint } from '../control/facts.ts';
import { batches, changeover, helm, houseWith, source, target } from './fake-house.ts';
import { configuredFolder } from './place.ts';

type Answer = (id: string) => readonly ControlEvent[];

/** The log that the secondary was fed from. */
function fedFrom(broker: MemoryBroker): BrokerReader {
  const reader = broker.openReader();
  return {
    stream: 'stream-1',
    read: (from, signal) => reader.read(from, signal),
    release: (consumer, from) => reader.release(consumer, from),
    observe: async () => ({ ...(await reader.observe()), stream: 'stream-1' }),
    [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
  };
}

/** A house whose coordinator answers a request with these entries. */
function answering(answer: Answer): House {
  const broker = openMemoryBroker();
  const writer = broker.openWriter();
  const begun = Promise.all(batches.map((batch) => writer.append(epoch(1), batch)));
  return houseWith({
    logReader: async () => {
      await begun;
      return fedFrom(broker);
    },
    async run({ folder }, _options, signal) {
      while (!signal.aborted) {
        const [request] = await openRequests(folder);
        if (request) {
          const changes = answer(request.id).map((event) => ({ kind: 'control', event }) as const);
          await writer.append(epoch(1), { after: at(1000), starts: true, changes, end: at(1000) });
          return;
        }
        await sleep(5);
      }
    },
  });
}

const loss = {
  toApply: { entries: 0, bytes: 0 },
  notDurableBytes: 0,
  known: { bytes: 0, transactions: 0 },
  coveredAtMs: 0,
  boundMs: 4000,
};
const asked = (id: string): ControlEvent => ({
  kind: 'asked',
  id,
  atMs: 0,
  what: 'switchover',
  from: 'london',
  to: 'dublin',
  epoch: 1,
  loss,
});
const done: Answer = (id) => [
  asked(id),
  { kind: 'armed', id, atMs: 100 },
  { kind: 'fenced', id, atMs: 200, roles: ['app'], proved: ['app'], unfenced: ['postgres (psql)'] },
  { kind: 'sealed', id, atMs: 300, position: '0/1000' },
  { kind: 'proved', id, atMs: 400, comparison: { equal: 2, rows: 9, notCompared: ['public.big'] }, sequences: 1 },
  { kind: 'promoted', id, atMs: 500, what: 'switchover', from: 'london', leader: 'dublin', epoch: 2 },
  { kind: 'opened', id, atMs: 600, roles: ['app'] },
  { kind: 'finished', id, atMs: 700 },
];
const cancelled: Answer = (id) => [
  asked(id),
  { kind: 'cancelling', id, atMs: 1, code: 'CONTROL_FENCE_OPEN', message: 'somebody writes' },
  { kind: 'cancelled', id, atMs: 2 },
];

test('a switchover prints each step with its time, and the verdict', async () => {
  await using folder = await configuredFolder();
  const { out, exitCode } = await changeover(['switchover', '--to', 'dublin'], { ...folder, house: answering(done) });
  assert.equal(exitCode, 0, out);
  assert.match(
    out,
    /^ {6}0\.20 s {2}fenced: 1 role shut out \(a login of app was refused; no fence reaches postgres \(psql\)\)$/m,
  );
  assert.match(
    out,
    /^ {6}0\.40 s {2}proved: 2 tables equal \(9 rows\), 1 larger one not compared, 1 sequence moved beyond$/m,
  );
  assert.match(out, /^SWITCHED OVER: dublin leads in epoch 2, after 0\.70 s$/m);
});

test('its JSON has the shape changeover.move/1 of docs/json.md', async () => {
  await using folder = await configuredFolder();
  const words = ['switchover', '--to', 'dublin', '--json'];
  const { out } = await changeover(words, { ...folder, house: answering(done) });
  const page = await readFile(new URL('../../docs/json.md', import.meta.url), 'utf8');
  const [, example = ''] = /```json\n(\{\n {2}"schema": "changeover\.move\/1".*?)^```$/ms.exec(page) ?? [];
  const keysOf = (value: unknown): unknown =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, keysOf(item)]))
      : Array.isArray(value)
        ? 'list'
        : typeof value;
  assert.deepEqual(keysOf(JSON.parse(out)), keysOf(JSON.parse(example)));
});

test('a switchover that came to nothing is exit code 1; a cancel that was wanted is 0', async () => {
  await using folder = await configuredFolder();
  const failed = await changeover(['switchover', '--to', 'dublin'], { ...folder, house: answering(cancelled) });
  assert.equal(failed.exitCode, 1);
  assert.match(failed.out, /cancelling: CONTROL_FENCE_OPEN somebody writes\n.*\nCANCELLED: london leads as before\n/);
  const wanted = await changeover(['switchover', '--cancel'], { ...folder, house: answering(cancelled) });
  assert.equal(wanted.exitCode, 0, wanted.err);
});

test('what the coordinator refuses is told as an error, with exit code 3', async () => {
  await using folder = await configuredFolder();
  const house = answering((id) => [{ kind: 'refused', id, atMs: 0, code: 'CONTROL_REFUSED', message: 'not now' }]);
  const { err, exitCode } = await changeover(['switchover', '--to', 'dublin'], { ...folder, house });
  assert.equal(exitCode, 3);
  assert.match(err, /^CONTROL_REFUSED not now\n/);
});

test('a blocker keeps a switchover from being asked for, and the dry run names every one', async () => {
  await using folder = await configuredFolder();
  const survey = {
    writers: ['app'],
    beyondUs: ['app'],
    unfenced: ['postgres (psql)'],
    prepared: 2,
    definitions: ['index i'],
    sequences: [],
  };
  const house = houseWith({
    helm: async (_configuration, { side }) => ({
      ...helm,
      survey: async () => (side === 'primary' ? survey : { ...survey, writers: [], beyondUs: [], definitions: [] }),
    }),
    sourceInspector: async () => ({
      ...source,
      check: async () => [
        { severity: 'blocker', check: 'wal-level', site: 'dublin', message: 'wal_level is replica', cure: 'x' },
      ],
    }),
  });
  const { out, exitCode } = await changeover(['switchover', '--to', 'dublin', '--dry-run'], { ...folder, house });
  assert.equal(exitCode, 1);
  assert.match(out, /^NOT READY: switchover from london to dublin; nothing was changed\n/);
  for (const check of ['fence', 'prepared', 'unfenced', 'wal-level', 'definitions', 'roles'])
    assert.match(out, new RegExp(`  ${check}\n`), out);
  const refused = await changeover(['switchover', '--to', 'dublin'], { ...folder, house });
  assert.equal(refused.exitCode, 3);
  assert.deepEqual(await openRequests(`${folder.cwd}/changeover-data`), []);
});

test('a failover without consent says what may be lost, and is refused', async () => {
  await using folder = await configuredFolder();
  const { out, err, exitCode } = await changeover(['failover', '--to', 'dublin'], folder);
  assert.equal(exitCode, 3);
  assert.match(out, /^MAY BE LOST: nobody knows how much, if dublin leads instead of london\n/);
  assert.match(err, /changeover failover --to dublin --accept-loss all\n/);
  const wrong = await changeover(['failover', '--to', 'dublin', '--accept-loss', 'some'], folder);
  assert.equal(wrong.exitCode, 2);
});

test('an entry of the journal hides from status neither the age of a secondary nor that it is in step', async () => {
  await using folder = await configuredFolder();
  const broker = openMemoryBroker();
  await using writer = broker.openWriter();
  for (const batch of batches) await writer.append(epoch(1), batch);
  const event: ControlEvent = { kind: 'sampled', atMs: 0, leader: 'london', epoch: 1, sequences: {} };
  await writer.append(epoch(1), {
    after: at(1000),
    starts: true,
    changes: [{ kind: 'control', event }],
    end: at(1000),
  });
  const house = houseWith({
    logReader: async () => fedFrom(broker),
    targetInspector: async () => ({
      ...target,
      observe: async () => ({
        ...(await target.observe(AbortSignal.timeout(1000))),
        checkpoint: checkpoint({ offset: offset(2) }),
      }),
    }),
  });
  const { out } = await changeover(['status', '--json'], { ...folder, house });
  const { secondaries } = JSON.parse(out) as { secondaries: readonly { ageMs: number | null }[] };
  assert.notEqual(secondaries[0]?.ageMs, null, out);
});

test('behind a failover there is nobody to wait for, and nobody is said to be in step', async () => {
  await using folder = await configuredFolder();
  const standing = { ...firstStanding('dublin'), stranded: ['london'] };
  await keepStanding(`${folder.cwd}/changeover-data`, { stream: 'stream-1', next: offset(2), standing });
  const waited = await changeover(['wait', '--timeout', '1'], folder);
  assert.deepEqual([waited.exitCode, waited.out], [3, '']);
  const { out, exitCode } = await changeover(['status'], folder);
  assert.equal(exitCode, 1);
  assert.match(out, /^NOT STARTED: dublin has no secondary\n/);
});

test('a site that leads already, or is none, is a matter of usage', async () => {
  await using folder = await configuredFolder();
  for (const words of [
    ['switchover', '--to', 'london'],
    ['switchover', '--to', 'paris'],
    ['switchover'],
    ['failover', '--to', 'paris'],
  ])
    assert.equal((await changeover(words, folder)).exitCode, 2, words.join(' '));
});
