// npm run simulate -- [--seed N] [--count M] [--lying-disk] [--transcript]
import { parseArgs } from 'node:util';
import { type Outcome, World } from './world.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '100' },
    /** A mutant of the machine: its disk says that it holds what it does not hold yet. */
    'lying-disk': { type: 'boolean', default: false },
    /** Of every seed; else of the first that fails. */
    transcript: { type: 'boolean', default: false },
    /** Ends at the first seed that fails. */
    first: { type: 'boolean', default: false },
  },
});
const from = Number(values.seed);
const count = Number(values.count);
const liesOnSync = values['lying-disk'];
const startedAtMs = performance.now();
const counts = new Map<string, number>();
let failed = 0;
let ran = 0;
let steps = 0;

/** The same seed is the same world, to the last step: the transcript of one that failed is made by living through it again. */
const told = (seed: number): Promise<Outcome> =>
  new World({ seed, liesOnSync, tell: (line) => console.log(line) }).run();

for (let seed = from; seed < from + count; seed += 1) {
  const outcome = await (values.transcript ? told(seed) : new World({ seed, liesOnSync }).run());
  ran += 1;
  steps += outcome.steps;
  for (const [what, times] of outcome.counts) counts.set(what, (counts.get(what) ?? 0) + times);
  const { violation } = outcome;
  if (!violation) continue;
  failed += 1;
  if (failed === 1 && !values.transcript) await told(seed);
  console.log(`seed ${seed}: invariant ${violation.invariant}: ${violation.message}`);
  if (values.first) break;
}
const seconds = (performance.now() - startedAtMs) / 1000;
console.log([...counts].map(([what, times]) => `${what} ${times}`).join(', '));
console.log(`${ran} seeds, ${failed} failed, ${steps} steps, ${seconds.toFixed(1)} s`);
process.exitCode = failed > 0 ? 1 : 0;
