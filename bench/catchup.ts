import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Connection, connect } from '../src/engine/postgres/connect.ts';
import { formatLsn, type Lsn, parseLsn } from '../src/engine/postgres/lsn.ts';
import { ChangeoverError } from '../src/error.ts';
import { WalStream } from '../src/source/postgres/wal.ts';
import type { Agent, Lane } from './changeover.ts';
import { type Native, publication } from './native.ts';
import { dropSlot, type Pair, primaryDatabase } from './pair.ts';
import { cpuMsOfServer, total } from './processor.ts';
import { digest, pulse, setPulse, tables, type Workload } from './workload.ts';

/** How often a secondary is asked whether it is there: often against the seconds that are measured. */
const pollMs = 2;
/** How often slots are looked at before a round. */
const lookMs = 50;

/** What one way of catching up took. Changes are those of the workload; a commit is none. */
export interface Took {
  readonly ms: number;
  readonly changesPerSecond: number;
  /** Of Changeover's process; 0 for PostgreSQL's own replication, which has none. */
  readonly agentCpuMs: number;
  /** Of the server processes that worked for it at both ends. */
  readonly serverCpuMs: number;
  /** Of Changeover's process. */
  readonly rssBytesMax: number;
}

/** `native`: a subscription catches up. `slot`: Changeover catches up through its log, from the same place. `capture`: Changeover reads
 *  all into its log while its secondary is away. `log`: that secondary catches up from the log. `bare`: our reader of the slot,
 *  throwing all away: what the primary can send at most. */
export const ways = ['native', 'slot', 'capture', 'log', 'bare'] as const;
export type Way = (typeof ways)[number];

export interface Round {
  readonly workMs: number;
  readonly walBytes: number;
  readonly order: readonly Way[];
  readonly took: Readonly<Record<Way, Took>>;
  readonly unfolded: number;
}

/** What catches up, with its sessions. `end`: all of the workload lies before it, its pulse behind. */
export interface CatchUp {
  readonly pair: Pair;
  readonly agent: Agent;
  readonly native: Native;
  readonly primary: Connection;
  /** Sessions of the secondary's databases, by way; `capture` and `bare` have none. */
  readonly there: ReadonlyMap<Way, Connection>;
  readonly lanes: { readonly slot: Lane; readonly log: Lane };
}

export interface CatchUpOptions {
  readonly workload: Workload;
  /** Number of the round: the order of the ways hangs on it. */
  readonly round: number;
  /** What its pulse is: more than that of any before it. */
  readonly number: number;
  /** Where to put profiles of the agent; undefined for none. */
  readonly profiles: string | undefined;
}

const slotOfBare = 'bare';
/** The pulse of the first copies; those of the rounds, from 0, lie behind it. */
export const firstPulse = 1;

/** One round: all of them start from the same place and get the same WAL, one after the other. Throws when a secondary differs. */
export async function catchUp(it: CatchUp, options: CatchUpOptions, signal: AbortSignal): Promise<Round> {
  const { pair, primary, agent } = it;
  const { workload, round, number } = options;
  await startTogether(it);
  await primary.rows(`SELECT pg_catalog.pg_create_logical_replication_slot('${slotOfBare}', 'pgoutput')`);
  const begin = await walEnd(primary);
  const startedAt = performance.now();
  await workload.work(() => pair.open(pair.primary, primaryDatabase));
  const workMs = performance.now() - startedAt;
  const end = await walEnd(primary);
  await setPulse(primary, number);
  const truth = await digest(primary, workload.tables);

  // Whoever comes first has colder caches: the order changes from round to round.
  const order: readonly Way[] =
    round % 2 === 1 ? ['bare', 'native', 'slot', 'capture', 'log'] : ['slot', 'capture', 'log', 'native', 'bare'];
  const took: Partial<Record<Way, Took>> = {};
  await agent.usage();
  let unfolded = 0;
  for (const way of order) {
    await pair.settle();
    const before = await agent.usage();
    const path = options.profiles && join(options.profiles, `${workload.name}-${way}-${round}.cpuprofile`);
    const ms = await agent.profiled(path, () => run(it, { way, number, end }, signal));
    const serverCpuMs = total(await serverCpu(it, way));
    const after = await agent.usage();
    await (way === 'native' ? it.native.disable() : agent.stop());
    took[way] = {
      ms,
      changesPerSecond: workload.changes / (ms / 1000),
      agentCpuMs: way === 'native' || way === 'bare' ? 0 : after.cpuMs - before.cpuMs,
      serverCpuMs,
      rssBytesMax: after.rssBytesMax,
    };
    unfolded = after.unfolded;
    const there = it.there.get(way);
    if (there) await expectEqual(truth, there, way, workload.tables);
  }
  await dropSlot(primary, slotOfBare);
  return { workMs, walBytes: Number(end - begin), order, took: took as Record<Way, Took>, unfolded };
}

/** A slot begins to read where the oldest transaction ran that it may still need, which the server looks at every 15 s: by luck, one
 *  would read the WAL of the round before once more and another would not. Here all of them come to read from now on. */
async function startTogether({ primary, agent, native, lanes }: CatchUp): Promise<void> {
  const begin = await walEnd(primary);
  await native.enable();
  for (const lane of [lanes.slot, lanes.log]) await agent.start('capture', lane);
  const late = `SELECT FROM pg_catalog.pg_replication_slots WHERE restart_lsn < '${formatLsn(begin)}'`;
  while ((await primary.rows(late)).length > 0) {
    agent.check();
    await primary.rows('SELECT pg_catalog.pg_log_standby_snapshot()');
    // Who reads tells how far he came when a transaction has come.
    await primary.rows('UPDATE public.pulse SET number = number');
    await sleep(lookMs);
  }
  await native.disable();
  await agent.stop();
}

/** Starts one way, and returns after how many milliseconds it was through. */
async function run(
  it: CatchUp,
  { way, number, end }: { readonly way: Way; readonly number: number; readonly end: Lsn },
  signal: AbortSignal,
): Promise<number> {
  const startedAt = performance.now();
  switch (way) {
    case 'native':
      await it.native.enable();
      break;
    case 'slot':
      await it.agent.start('capture', it.lanes.slot);
      await it.agent.start('apply', it.lanes.slot);
      break;
    case 'capture':
      await it.agent.start('capture', it.lanes.log);
      await it.agent.captured(it.lanes.log, end + 1n);
      break;
    case 'log':
      await it.agent.start('apply', it.lanes.log);
      break;
    case 'bare':
      await readBare(it.pair, end, signal);
      break;
    default:
      return way satisfies never;
  }
  const there = it.there.get(way);
  if (there) await untilPulse(it.agent, there, number);
  return performance.now() - startedAt;
}

export async function untilPulse(agent: Agent, there: Connection, number: number): Promise<void> {
  while ((await pulse(there)) < number) {
    agent.check();
    await sleep(pollMs);
  }
}

const walEnd = async (primary: Connection): Promise<Lsn> => {
  const [row] = await primary.rows('SELECT pg_catalog.pg_current_wal_insert_lsn()');
  return parseLsn(row?.[0] ?? '');
};

export async function expectEqual(
  truth: string,
  there: Connection,
  what: string,
  of: readonly string[] = tables,
): Promise<void> {
  const found = await digest(there, of);
  if (found !== truth)
    throw new ChangeoverError('ASSERTION', `After ${what} the secondary differs: ${found}, not ${truth}`);
}

async function serverCpu(it: CatchUp, way: Way): Promise<ReadonlyMap<number, number>> {
  const there = it.there.get('native');
  if (way === 'bare' || !there) return new Map();
  const lane = way === 'slot' ? it.lanes.slot.name : it.lanes.log.name;
  const ours = `SELECT pid FROM pg_catalog.pg_stat_activity WHERE application_name = 'changeover ${lane}'`;
  const sender = `SELECT pid FROM pg_catalog.pg_stat_replication WHERE application_name = 'native'`;
  const worker = `SELECT pid FROM pg_catalog.pg_stat_subscription WHERE pid IS NOT NULL`;
  return new Map([
    ...(await cpuMsOfServer(it.primary, way === 'native' ? sender : ours)),
    ...(await cpuMsOfServer(there, way === 'native' ? worker : ours)),
  ]);
}

/** Reads a slot until the first commit behind `end`, with Changeover's own reader, and keeps nothing. */
async function readBare(pair: Pair, end: Lsn, signal: AbortSignal): Promise<void> {
  const url = pair.primary.url(primaryDatabase);
  await using walsender = await connect({ url, side: 'SOURCE', application: 'bare', replication: true }, signal);
  using wal = new WalStream(walsender, { silenceMsMax: 60_000 });
  await wal.start(
    `START_REPLICATION SLOT ${slotOfBare} LOGICAL 0/0 (proto_version '1', publication_names '${publication}')`,
  );
  for (;;) {
    for (const { bytes, at } of await wal.take()) {
      if (bytes[at] === 0x43 && bytes.readBigUInt64BE(at + 10) > end) return;
    }
  }
}
