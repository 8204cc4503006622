import { strictEqual } from 'node:assert/strict';
import { registerHooks } from 'node:module';
import { mutants } from './mutants.ts';

// node --import test/simulation/mutate.ts test/simulation/run.ts, with CHANGEOVER_MUTANT: runs the loops without one of their rules.
const mutant = mutants.find(({ name }) => name === process.env.CHANGEOVER_MUTANT);
if (!mutant) throw new RangeError(`No mutant ${process.env.CHANGEOVER_MUTANT}`);
const url = new URL(`../../${mutant.file}`, import.meta.url).href;

registerHooks({
  load(at, context, next) {
    const loaded = next(at, context);
    if (at !== url) return loaded;
    const parts = Buffer.from(loaded.source as Uint8Array)
      .toString()
      .split(mutant.rule);
    strictEqual(parts.length, 2, `The rule of ${mutant.name} stands ${parts.length - 1} times in ${mutant.file}`);
    return { ...loaded, source: parts.join(mutant.without) };
  },
});
