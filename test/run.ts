// Runs the whole suite, or the files whose path contains one of the given words, and closes with `N passed, N failed, N skipped`.
import { globSync } from 'node:fs';
import { relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { openClusters } from './servers/clusters.ts';

/** What takes longest begins first, or the suite ends with one of them alone. */
const longest = [
  'test/end-to-end/rabbitmq',
  'test/ddl/statements',
  'test/end-to-end/kafka',
  'test/end-to-end/copy',
  'test/demo/leaving',
  'test/end-to-end/resync',
  'test/verify/verify',
  'test/crash/',
  'test/demo/demo',
  'test/end-to-end/',
  'test/simulation/',
  'test/types/',
  'test/source/postgres/',
  'test/ddl/',
  'test/verify/',
  'test/demo/',
  'test/target/postgres/',
  'test/broker/',
];
const placeOf = (file: string): number => {
  const place = longest.findIndex((start) => file.startsWith(start));
  return place === -1 ? longest.length : place;
};

const words = process.argv.slice(2);
const root = new URL('..', import.meta.url).pathname;
const files = globSync('test/**/*.test.ts', { cwd: root })
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .toSorted((a, b) => placeOf(a) - placeOf(b) || a.localeCompare(b))
  .map((file) => `${root}${file}`);

/** How many files are named as the slowest. */
const slowestMax = Number(process.env.CHANGEOVER_SLOWEST ?? 5);
const counts = { passed: 0, failed: 0, skipped: 0 };
const skipped: string[] = [];
/** So many files, and more, have servers enough to be worth the making of clusters for them. */
const clusteredMin = 5;
const clusters = files.length < clusteredMin ? undefined : await openClusters();
// Else each of the hundreds of processes that the files start would read and strip all of src again.
process.env.NODE_COMPILE_CACHE ??= `${root}node_modules/.cache/compiled`;
// Real servers share two cores with the tests: more files at once would only make each slower.
const stream = run({ files, concurrency: 2, timeout: 600_000 });
stream.on('test:pass', ({ name, skip, details }) => {
  if (details.type === 'suite') return;
  if (skip === undefined) counts.passed += 1;
  else {
    counts.skipped += 1;
    skipped.push(`${name}: ${typeof skip === 'string' ? skip : 'no reason given'}`);
  }
});
stream.on('test:fail', ({ details }) => {
  if (details.type !== 'suite') counts.failed += 1;
});
/** Seconds by file: where to look when the suite has become slow. */
const tookS = new Map<string, number>();
stream.on('test:summary', ({ file, duration_ms: tookMs }) => {
  if (file) tookS.set(relative(root, file), tookMs / 1000);
});
stream.compose(spec).pipe(process.stdout);
stream.on('end', () => {
  void clusters?.[Symbol.asyncDispose]();
  process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
  process.once('beforeExit', () => {
    const slowest = [...tookS].toSorted(([, a], [, b]) => b - a).slice(0, slowestMax);
    console.log(`slowest: ${slowest.map(([file, seconds]) => `${file} ${seconds.toFixed(1)} s`).join(', ')}`);
    for (const line of skipped) console.log(`skipped: ${line}`);
    console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  });
});
