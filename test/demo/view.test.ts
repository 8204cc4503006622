import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { bytes, count, duration, line, type Scene, sparkline, view } from '../../src/demo/view.ts';

const running = (pid: number) => ({ kind: 'running', forMs: 44_000, pid }) as const;
const equal = { equal: true, tables: 18, rows: 163_843, differing: [] };

const scene: Scene = {
  stage: 'flowing',
  doing: '',
  carrier: 'log',
  elapsedMs: 42_300,
  parts: { primary: running(4711), capture: running(4712), apply: running(4713), secondary: running(4714) },
  rates: { transactions: 199.7, rows: 2871, bytes: 612_345, applied: 198 },
  lagMs: 3.2,
  behindBytes: 1234,
  historyMs: Array.from({ length: 75 }, (_, second) => (second % 17 === 3 ? 2400 : 2 + (second % 5))),
  committed: 123_456,
  applied: 123_450,
  atRisk: { bytes: 4100, transactions: 3 },
  readings: 12_045,
  torn: 0,
  tornWhat: [],
  recoveries: [
    { part: 'apply', atMs: 12_000, recoveredMs: 2311, proof: equal },
    { part: 'capture', atMs: 32_000, recoveredMs: undefined, proof: undefined },
  ],
  hasKeys: true,
};
const wounded: Scene = {
  ...scene,
  parts: {
    ...scene.parts,
    apply: { kind: 'killed', forMs: 1700, pid: undefined },
    capture: { kind: 'recovering', forMs: 900, pid: 4722 },
  },
};

const golden = (name: string): string => readFileSync(new URL(`golden/${name}.txt`, import.meta.url), 'utf8');
const seen = (of: Scene, columns: number, rows = 30): string =>
  `${view(of, { columns, rows, color: false }).join('\n')}\n`;

test('the view in step, on a terminal of 80 columns', () => assert.equal(seen(scene, 80), golden('view-80')));
test('the view with a killed and a recovering part, on 120 columns', () =>
  assert.equal(seen(wounded, 120), golden('view-120')));

test('no line is wider than the terminal and none is below it, with colours or without', () => {
  for (const columns of [20, 40, 77, 78, 80, 99, 100, 120, 200])
    for (const rows of [3, 10, 24, 50])
      for (const color of [false, true]) {
        const lines = view(wounded, { columns, rows, color });
        assert.ok(lines.length <= rows);
        for (const text of lines) assert.ok(stripVTControlCharacters(text).length <= columns, `${columns}: ${text}`);
      }
});

test('the keys and the newest proof stay on a terminal of 24 rows, however many proofs there are', () => {
  const recoveries = Array.from({ length: 20 }, (_, index) => ({
    part: 'apply' as const,
    atMs: 1000 * (index + 1),
    recoveredMs: 2000,
    proof: equal,
  }));
  const lines = view({ ...scene, recoveries }, { columns: 80, rows: 24, color: false });
  assert.match(lines.at(-1) ?? '', /\[q\] quit/);
  assert.ok(lines.some((text) => text.includes('00:20')));
});

test('without colours there is no escape code', () => {
  assert.equal(view(wounded, { columns: 120, rows: 30, color: false }).join('').includes('\u001B'), false);
  assert.ok(view(wounded, { columns: 120, rows: 30, color: true }).join('').includes('\u001B'));
});

test('what is wrong stands before all else: a torn reading, then a proof that failed', () => {
  const differing = { equal: false, tables: 18, rows: 5, differing: ['shop.orders'] };
  const unequal = { ...wounded, recoveries: [{ part: 'apply', atMs: 1, recoveredMs: 2, proof: differing }] } as const;
  assert.match(line(unequal), /^00:42 NOT EQUAL after apply: shop\.orders/);
  assert.match(line({ ...unequal, torn: 2, tornWhat: ['money was made or lost'] }), /^00:42 TORN: 2 readings, money/);
});

test('one line says where a log file cannot draw', () =>
  assert.equal(
    line(wounded),
    '00:42 apply killed: comes back in a moment · 200 tx/s · lag 3 ms · behind 1.2 kB · at risk at most 3 transactions, 4.1 kB · 12,045 readings, 0 torn · capture recovering 0.9 s · apply killed 1.7 s',
  ));

test('numbers are short and never rounded into another unit', () => {
  assert.deepEqual([0, 999, 1000, 12_345, 999_999, 5e9].map(bytes), [
    '0 B',
    '999 B',
    '1.0 kB',
    '12.3 kB',
    '1000 kB',
    '5.0 GB',
  ]);
  assert.deepEqual([0.2, 1, 999, 2400, 300_000].map(duration), ['<1 ms', '1 ms', '999 ms', '2.4 s', '5 min']);
  assert.deepEqual([0, 999, 1000, 1_234_567].map(count), ['0', '999', '1,000', '1,234,567']);
  assert.equal(sparkline([0, 1, 10, 100, 1000, 10_000, 60_000, 1e9]), '▁▁▂▄▆▇██');
});

test('a broker that runs as a server is a part of the picture, with a key of its own', () => {
  const { primary, capture, apply, secondary } = scene.parts;
  const broker = { kind: 'killed', forMs: 100, pid: undefined } as const;
  const killed: Scene = { ...scene, carrier: 'kafka', parts: { primary, capture, broker, apply, secondary } };
  const shown = seen(killed, 120);
  assert.match(shown, /PRIMARY.*KAFKA.*SECONDARY/);
  assert.match(shown, /broker +✖ killed/);
  assert.match(shown, /\[b\] broker/);
  assert.equal(shown.includes('▶'), false, 'nothing flows through a broker that is away');
  assert.equal(seen(scene, 120).includes('broker'), false);
});
