// Measures Changeover beside PostgreSQL's own logical replication: same servers, same WAL, same durability, one run.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type CatchUp, catchUp, firstPulse, type Round, untilPulse, type Way } from './catchup.ts';
import { Agent, type Lane, untilCopied } from './changeover.ts';
import { fdatasyncMs } from './disk.ts';
import { measureLatency } from './latency.ts';
import { subscribeNative } from './native.ts';
import { openPair, type Pair, primaryDatabase, settings } from './pair.ts';
import { catchUpMedians, printed, printedSeal, type Report, snapshotMedians, systemOf } from './report.ts';
import { measureSeal, sealMedians } from './seal.ts';
import { shapeTables, shapeWorkloads } from './shapes.ts';
import { measureSnapshot, type SnapshotRound } from './snapshot.ts';
import { setPulse, tables, tpcb, type Workload } from './workload.ts';

const usage = `npm run bench -- [options]
  --changes N      changes per round of catching up (default 400000; 4 to a transaction)
  --scale N        hundred thousands of accounts (default 10)
  --rounds N       how often catch-up and snapshot are measured (default 3)
  --connections N  that the snapshot is read through (default: as Changeover comes)
  --only PART      latency, catchup, snapshot, seal (default: these four; seal alone needs no server), or workloads: catch-up of others than TPC-B
  --workload NAME  only this one of workloads
  --profile DIR    write processor profiles of Changeover's process there; read them with: node bench/profile.ts DIR
  --json           print the report as JSON (schema changeover.bench/1)`;

interface Options {
  readonly changes: number;
  readonly scale: number;
  readonly rounds: number;
  readonly only: string | undefined;
  readonly workload: string | undefined;
  readonly profiles: string | undefined;
  readonly connections: number | undefined;
  readonly json: boolean;
}

function optionsOf(args: readonly string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        changes: { type: 'string', default: '400000' },
        scale: { type: 'string', default: '10' },
        rounds: { type: 'string', default: '3' },
        only: { type: 'string' },
        workload: { type: 'string' },
        profile: { type: 'string' },
        connections: { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    });
    const [changes, scale, rounds] = [values.changes, values.scale, values.rounds].map(Number);
    const isCount = (value: number | undefined): value is number => Number.isSafeInteger(value) && (value ?? 0) >= 1;
    if (!isCount(changes) || !isCount(scale) || !isCount(rounds)) return undefined;
    if (values.only !== undefined && !['latency', 'catchup', 'snapshot', 'seal', 'workloads'].includes(values.only))
      return undefined;
    const connections = values.connections === undefined ? undefined : Number(values.connections);
    if (connections !== undefined && !isCount(connections)) return undefined;
    const { only, workload, profile: profiles, json } = values;
    if (workload !== undefined && !shapeWorkloads.some(({ name }) => name === workload)) return undefined;
    return { changes, scale, rounds, only, workload, profiles, connections, json };
  } catch {
    return undefined;
  }
}

/** Progress goes to stderr: stdout holds the report and nothing else. */
const say = (text: string): void => console.error(text);
const latencySeconds = 15;

/** Both lanes and the subscription hold the first copy, and are stopped. */
async function prepare(
  pair: Pair,
  { agent, tables }: { readonly agent: Agent; readonly tables: readonly string[] },
  made: AsyncDisposableStack,
): Promise<CatchUp> {
  const primary = made.use(await pair.open(pair.primary, primaryDatabase));
  const there = new Map<Way, Awaited<ReturnType<Pair['open']>>>();
  for (const way of ['native', 'slot', 'log'] as const) {
    await pair.createSecondary(way);
    there.set(way, made.use(await pair.open(pair.secondary, way)));
  }
  const lane = (name: 'slot' | 'log'): Lane => ({
    name,
    from: pair.primary.url(primaryDatabase),
    to: pair.secondary.url(name),
    folder: join(pair.folder, name),
    tables,
  });
  const lanes = { slot: lane('slot'), log: lane('log') };
  const native = await subscribeNative(pair, { primary, there: there.get('native') ?? primary, tables });
  // One after the other: a process with a single lane is what its memory is promised for.
  for (const way of ['slot', 'log'] as const) {
    const connection = there.get(way) ?? primary;
    await agent.start('capture', lanes[way]);
    await agent.start('apply', lanes[way]);
    await untilCopied(agent, connection);
    // What was committed beside the copy is there too once the pulse is.
    await setPulse(primary, firstPulse);
    await untilPulse(agent, connection, firstPulse);
    await agent.stop();
  }
  return { pair, agent, native, primary, there, lanes };
}

async function measure(options: Options, signal: AbortSignal): Promise<Report> {
  const { changes, scale, rounds, only, profiles } = options;
  const startedAt = new Date().toISOString();
  if (profiles !== undefined) await mkdir(profiles, { recursive: true });
  await using made = new AsyncDisposableStack();
  say(`Two PostgreSQL servers, ${scale * 100_000} accounts ...`);
  const shapes = only === 'workloads' ? rounds + 1 : 0;
  const pair = made.use(await openPair({ scale, shapes }, signal));
  const agent = made.use(new Agent());
  const system = systemOf({
    postgres: pair.version,
    changeover: await ownVersion(),
    fdatasyncMs: await fdatasyncMs(pair.folder),
  });
  say('First copies ...');
  const carried = shapes > 0 ? [...tables, ...shapeTables] : tables;
  const it = await prepare(pair, { agent, tables: carried }, made);
  let rssBytesMax = (await agent.usage()).rssBytesMax;

  let pulse = firstPulse;
  /** The first finds cold programs and pages that no checkpoint has an image of; it counts for memory only. */
  const roundsOfWorkload = async (workload: Workload): Promise<readonly Round[]> => {
    const counted: Round[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      say(
        `Catch-up, ${workload.name}, ${round > 0 ? `round ${round} of ${rounds}` : 'a round that is not counted'} ...`,
      );
      pulse += 1;
      const took = await catchUp(it, { workload, round, number: pulse, profiles }, signal);
      if (round > 0) counted.push(took);
      rssBytesMax = Math.max(rssBytesMax, ...Object.values(took.took).map((one) => one.rssBytesMax));
    }
    return counted;
  };
  const caught = (only ?? 'catchup') === 'catchup' ? await roundsOfWorkload(tpcb({ changes, scale })) : [];
  const others: NonNullable<Report['workloads']>[number][] = [];
  for (const workload of only === 'workloads' ? shapeWorkloads : []) {
    if (workload.name !== (options.workload ?? workload.name)) continue;
    const took = await roundsOfWorkload(workload);
    const medians = catchUpMedians(took, workload.changes);
    others.push({ name: workload.name, says: workload.says, changes: workload.changes, rounds: took, medians });
  }
  const roundsOf = (part: string): number => (only === undefined || only === part ? rounds : 0);
  const snapped: SnapshotRound[] = [];
  for (let round = 1; round <= roundsOf('snapshot'); round += 1) {
    say(`Snapshot, round ${round} of ${rounds} ...`);
    snapped.push(
      await measureSnapshot(
        { pair, agent, primary: it.primary, scale, round, profiles, connections: options.connections },
        signal,
      ),
    );
  }
  let latency: Report['latency'];
  if ((only ?? 'latency') === 'latency') {
    say('Latency ...');
    latency = await bothLatencies(it, scale, signal);
  }
  let seal: Report['seal'];
  if (only === undefined) seal = await sealed(rounds, signal);
  rssBytesMax = Math.max(rssBytesMax, (await agent.usage()).rssBytesMax, ...snapped.map((one) => one.rssBytesMax));
  return {
    schema: 'changeover.bench/1',
    startedAt,
    system,
    settings,
    options: { changes, scale, rounds, only },
    ...(caught.length > 0 && { catchUp: { rounds: caught, medians: catchUpMedians(caught, changes) } }),
    ...(others.length > 0 && { workloads: others }),
    ...(latency && { latency }),
    ...(seal && { seal }),
    ...(snapped.length > 0 && { snapshot: { rounds: snapped, medians: snapshotMedians(snapped) } }),
    rssBytesMax,
  };
}

async function sealed(rounds: number, signal: AbortSignal): Promise<NonNullable<Report['seal']>> {
  say(`What the seal costs, ${rounds} rounds ...`);
  const took = await measureSeal(rounds, signal);
  return { rounds: took, medians: sealMedians(took) };
}

/** One after the other, each alone. */
async function bothLatencies(it: CatchUp, scale: number, signal: AbortSignal): Promise<Report['latency']> {
  const [native, ours] = [it.there.get('native'), it.there.get('slot')];
  if (!native || !ours) return undefined;
  const common = { primary: it.primary, seconds: latencySeconds, scale };
  await it.pair.settle();
  await it.native.enable();
  const nativeTook = await measureLatency({ ...common, there: native, from: 1_000_000 }, signal);
  await it.native.disable();
  await it.pair.settle();
  await it.agent.start('capture', it.lanes.slot);
  await it.agent.start('apply', it.lanes.slot);
  await untilPulse(it.agent, ours, 1_000_000);
  const ourTook = await measureLatency({ ...common, there: ours, from: 2_000_000 }, signal);
  await it.agent.stop();
  return { native: nativeTook, changeover: ourTook };
}

async function ownVersion(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

const options = optionsOf(process.argv.slice(2));
if (!options) {
  console.error(usage);
  process.exitCode = 2;
} else {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
  try {
    if (options.only === 'seal') {
      const seal = await sealed(options.rounds, stop.signal);
      console.log(options.json ? JSON.stringify({ seal }, undefined, 2) : printedSeal(seal));
    } else {
      const report = await measure(options, stop.signal);
      console.log(options.json ? JSON.stringify(report, undefined, 2) : printed(report));
    }
  } catch (error) {
    if (!stop.signal.aborted) console.error(error);
    process.exitCode = stop.signal.aborted ? 130 : 1;
  }
}
