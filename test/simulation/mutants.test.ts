import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { mutants } from './mutants.ts';

const seedsMax = 400;
const here = new URL('.', import.meta.url).pathname;

/** What a run of seeds says, up to the first that fails. */
async function simulate(before: readonly string[], { mutant, after = [] }: Simulated): Promise<string> {
  const command = [...before, `${here}run.ts`, '--first', '--count', String(seedsMax), ...after];
  const env = { ...process.env, ...(mutant !== undefined && { CHANGEOVER_MUTANT: mutant }) };
  const child = spawn(process.execPath, command, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (part: Buffer) => (text += part.toString()));
  await once(child, 'close');
  return text;
}

interface Simulated {
  readonly mutant?: string;
  readonly after?: readonly string[];
}

const broken = (text: string): number => Number(/^seed \d+: invariant (\d+):/m.exec(text)?.[1] ?? Number.NaN);

describe('the checkers bite', { concurrency: 2 }, () => {
  for (const { name, breaks } of mutants)
    test(`${name} is caught`, async () => {
      const text = await simulate(['--import', `${here}mutate.ts`], { mutant: name });
      assert.ok(breaks.includes(broken(text)), `${name}: ${text.split('\n').slice(-4).join('\n')}`);
      // Whoever has to mend it reads what happened.
      assert.match(text, /ms {2}the agents start\n/);
    });

  test('a disk that lies about what it holds is caught', async () => {
    const text = await simulate([], { after: ['--lying-disk'] });
    assert.equal(broken(text), 1);
  });
});
