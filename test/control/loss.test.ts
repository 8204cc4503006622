import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { assess, covered, noSightings, type Sightings, sighted } from '../../src/control/loss.ts';
import { at } from './facts.ts';

const toApply = { entries: 0, bytes: 0 };
const up = (upMs: number, boot = 'one') => ({ boot, upMs });

test('without a look of which all is in the log nobody knows what would be lost', () => {
  const seen = sighted(noSightings, { position: at(100), transactions: 5n, atMs: 1000, machine: up(1000) });
  const loss = assess({ sightings: covered(seen, at(99)), tail: at(99), toApply, nowMs: 2000, machine: up(2000) });
  assert.deepEqual([loss.boundMs, loss.coveredAtMs, loss.known], [undefined, undefined, undefined]);
});

test('what the last look knew and the log does not have is counted', () => {
  let sightings: Sightings = sighted(noSightings, {
    position: at(100),
    transactions: 5n,
    atMs: 1000,
    machine: up(1000),
  });
  sightings = sighted(sightings, { position: at(180), transactions: 8n, atMs: 2000, machine: up(2000) });
  sightings = covered(sightings, at(120));
  const loss = assess({ sightings, tail: at(120), toApply, nowMs: 4500, machine: up(4500) });
  assert.deepEqual(loss.known, { bytes: 60, transactions: 3 });
  assert.deepEqual([loss.coveredAtMs, loss.boundMs], [1000, 3500]);
});

test('a clock that is set back makes the bound no smaller, and a machine that began anew knows none', () => {
  const seen = sighted(noSightings, { position: at(100), transactions: 5n, atMs: 60_000, machine: up(1000) });
  const sightings = covered(seen, at(100));
  const boundMs = (nowMs: number, machine = up(5000)): number | undefined =>
    assess({ sightings, tail: at(100), toApply, nowMs, machine }).boundMs;
  assert.deepEqual([boundMs(64_000), boundMs(61_000), boundMs(0)], [4000, 4000, 4000]);
  assert.equal(boundMs(90_000), 30_000);
  assert.equal(boundMs(90_000, up(5000, 'another')), undefined);
});

test('a log of another history covers nothing', () => {
  const seen = sighted(noSightings, { position: at(100), transactions: 5n, atMs: 1000, machine: up(1000) });
  assert.equal(covered(seen, at(500, '99')).covered, undefined);
});

/** Commits and looks at a primary in any order, and a log that reaches to any of them. */
const happening = fc.array(fc.constantFrom('commit', 'look', 'capture'), { maxLength: 200 });

test('whatever was lost was committed within the bound, however looks, commits and capture fall together', () => {
  fc.assert(
    fc.property(happening, (happenings) => {
      let sightings = noSightings;
      let [order, captured, nowMs] = [0, 0, 0];
      const commits: { readonly order: number; readonly atMs: number }[] = [];
      for (const what of happenings) {
        nowMs += 1;
        if (what === 'commit') commits.push({ order: (order += 10), atMs: nowMs });
        else if (what === 'look')
          sightings = sighted(sightings, {
            position: at(order),
            transactions: BigInt(commits.length),
            atMs: nowMs,
            machine: up(nowMs),
          });
        else captured = Math.min(order, captured + 20);
        sightings = covered(sightings, at(captured));
      }
      const { boundMs, known } = assess({ sightings, tail: at(captured), toApply, nowMs, machine: up(nowMs) });
      const lost = commits.filter((commit) => commit.order > captured);
      for (const { atMs } of lost) assert.ok(boundMs === undefined || atMs >= nowMs - boundMs);
      const seenAtMs = sightings.last?.atMs ?? 0;
      const knownLost = lost.filter(({ atMs }) => atMs <= seenAtMs).length;
      assert.ok(known === undefined || known.transactions >= knownLost);
    }),
  );
});
