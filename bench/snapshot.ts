import { join } from 'node:path';
import { type Connection, connect } from '../src/engine/postgres/connect.ts';
import { COPY_DATA, copyDataHead, copyDone, query, READY_FOR_QUERY } from '../src/engine/postgres/message.ts';
import { Wire } from '../src/engine/postgres/wire.ts';
import { expectEqual } from './catchup.ts';
import { type Agent, type Lane, untilCopied } from './changeover.ts';
import { dropSlot, type Pair, primaryDatabase } from './pair.ts';
import { accountsPerScale, digest } from './workload.ts';

export interface SnapshotRound {
  readonly rows: number;
  readonly copyMs: number;
  readonly changeoverMs: number;
  readonly agentCpuMs: number;
  readonly rssBytesMax: number;
}

export interface SnapshotOptions {
  readonly pair: Pair;
  readonly agent: Agent;
  readonly primary: Connection;
  readonly scale: number;
  readonly round: number;
  readonly profiles: string | undefined;
  /** That Changeover reads through. Undefined: as it comes. */
  readonly connections: number | undefined;
}

const copied = ['accounts'] as const;

/** The accounts into a new database, by Changeover through its log and by COPY | COPY. Both find the table with its primary key. */
export async function measureSnapshot(options: SnapshotOptions, signal: AbortSignal): Promise<SnapshotRound> {
  const { pair, agent, primary, scale, round } = options;
  const truth = await digest(primary, copied);
  let copyMs = 0;
  let ours = { ms: 0, agentCpuMs: 0, rssBytesMax: 0 };
  const both = [
    async () => {
      copyMs = await throughPipe(pair, `piped_${round}`, truth, signal);
    },
    async () => {
      ours = await throughChangeover(pair, agent, { options, truth });
    },
  ];
  for (const one of round % 2 === 1 ? both : both.toReversed()) await one();
  return {
    rows: scale * accountsPerScale,
    copyMs,
    changeoverMs: ours.ms,
    agentCpuMs: ours.agentCpuMs,
    rssBytesMax: ours.rssBytesMax,
  };
}

async function throughPipe(pair: Pair, database: string, truth: string, signal: AbortSignal): Promise<number> {
  await pair.createSecondary(database);
  await pair.settle();
  const startedAt = performance.now();
  {
    await using from = await connect(
      { url: pair.primary.url(primaryDatabase), side: 'SOURCE', application: 'bench' },
      signal,
    );
    await using to = await connect({ url: pair.secondary.url(database), side: 'TARGET', application: 'bench' }, signal);
    // What the secondary commits need not wait for its disk on either way.
    await to.rows('SET synchronous_commit = off');
    await pipe(new Wire(from), new Wire(to), 'public.accounts');
  }
  const ms = performance.now() - startedAt;
  await using there = await pair.open(pair.secondary, database);
  await expectEqual(truth, there, 'COPY | COPY', copied);
  return ms;
}

/** What comes at once goes on at once. */
async function pipe(from: Wire, to: Wire, table: string): Promise<void> {
  await from.send(query(`COPY ${table} TO STDOUT`));
  await to.send(query(`COPY ${table} FROM STDIN`));
  for (let done = false; !done; ) {
    const rows: Buffer[] = [];
    for (const { type, body } of from.checked(await from.take(), 'COPY TO')) {
      if (type === COPY_DATA) rows.push(body);
      else if (type === READY_FOR_QUERY) done = true;
    }
    const bytes = rows.reduce((sum, row) => sum + row.length, 0);
    if (bytes > 0) await to.send(Buffer.concat([copyDataHead(bytes), ...rows]));
  }
  await to.send(copyDone());
  for (;;) {
    for (const { type } of to.checked(await to.take(), 'COPY FROM')) if (type === READY_FOR_QUERY) return;
  }
}

async function throughChangeover(
  pair: Pair,
  agent: Agent,
  { options, truth }: { readonly options: SnapshotOptions; readonly truth: string },
): Promise<{ readonly ms: number; readonly agentCpuMs: number; readonly rssBytesMax: number }> {
  const name = `snapshot_${options.round}`;
  const lane: Lane = {
    name,
    from: pair.primary.url(primaryDatabase),
    to: pair.secondary.url(name),
    folder: join(pair.folder, name),
    tables: copied,
    copyConnections: options.connections,
  };
  await pair.createSecondary(name);
  await using there = await pair.open(pair.secondary, name);
  await pair.settle();
  const before = await agent.usage();
  const path = options.profiles && join(options.profiles, `${name}.cpuprofile`);
  const ms = await agent.profiled(path, async () => {
    const startedAt = performance.now();
    await agent.start('capture', lane);
    await agent.start('apply', lane);
    await untilCopied(agent, there);
    return performance.now() - startedAt;
  });
  const after = await agent.usage();
  await agent.stop();
  await expectEqual(truth, there, 'the snapshot', copied);
  await dropSlot(options.primary, `changeover_${name}`);
  return { ms, agentCpuMs: after.cpuMs - before.cpuMs, rssBytesMax: after.rssBytesMax };
}
