// Reads the processor profiles that `npm run bench -- --profile DIR` wrote: where each measurement spent its time.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

interface Node {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

interface Profile {
  readonly nodes: readonly Node[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const linesMax = 30;

/** Milliseconds by function: its own, and with all that it called. */
function timesOf(profile: Profile): ReadonlyMap<string, { own: number; all: number }> {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const own = new Map<number, number>();
  for (const [index, id] of profile.samples.entries())
    own.set(id, (own.get(id) ?? 0) + (profile.timeDeltas[index] ?? 0) / 1000);
  const times = new Map<string, { own: number; all: number }>();
  const visit = (node: Node, above: ReadonlySet<string>): number => {
    const name = nameOf(node);
    const mine = own.get(node.id) ?? 0;
    const inside = new Set([...above, name]);
    let all = mine;
    for (const id of node.children ?? []) {
      const child = nodes.get(id);
      if (child) all += visit(child, inside);
    }
    const time = times.get(name) ?? { own: 0, all: 0 };
    time.own += mine;
    // A function that calls itself counts once.
    if (!above.has(name)) time.all += all;
    times.set(name, time);
    return all;
  };
  const [root] = profile.nodes;
  if (root) visit(root, new Set());
  return times;
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: Node): string {
  const place = url.includes('/src/') ? url.slice(url.lastIndexOf('/src/') + 1) : url.split('/').slice(-2).join('/');
  return `${functionName || '(anonymous)'}${place && ` ${place}:${lineNumber + 1}`}`;
}

const [, , folder = '.'] = process.argv;
for (const file of (await readdir(folder)).filter((name) => name.endsWith('.cpuprofile')).toSorted()) {
  const profile = JSON.parse(await readFile(join(folder, file), 'utf8')) as Profile;
  const times = timesOf(profile);
  const wholeMs = profile.timeDeltas.reduce((sum, us) => sum + us, 0) / 1000;
  const idleMs = times.get('(idle)')?.own ?? 0;
  console.log(`\n${file}: ${Math.round(wholeMs)} ms, busy ${Math.round(wholeMs - idleMs)} ms`);
  const rows = [...times]
    .filter(([name]) => !['(idle)', '(root)'].includes(name))
    .toSorted(([, a], [, b]) => b.own - a.own);
  for (const [name, { own, all }] of rows.slice(0, linesMax))
    console.log(`${own.toFixed(0).padStart(7)} own ${all.toFixed(0).padStart(7)} all  ${name}`);
}
