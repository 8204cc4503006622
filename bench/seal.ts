import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Broker, BrokerReader } from '../src/broker/broker.ts';
import { openLogReader } from '../src/broker/log/reader.ts';
import { openLogBroker } from '../src/broker/log/writer.ts';
import { openKeyList } from '../src/broker/seal/key-list.ts';
import { openSealedReader } from '../src/broker/seal/reader.ts';
import { openSealedBroker } from '../src/broker/seal/writer.ts';
import type { Batch, Change } from '../src/change/change.ts';
import { bytesOf } from '../src/change/codec.ts';
import { epoch, offset, type Position } from '../src/change/position.ts';
import { rowOf } from '../src/change/row.ts';
import type { Table } from '../src/change/table.ts';
import { median } from './latency.ts';

/* What the seal costs: the embedded log, durable, with and without it, in turn. Batches as capture makes them of TPC-B under load,
   appended one at a time as capture does, then read and decoded from the first to the last. No server takes part. */

export interface SealWay {
  readonly appendMs: number;
  readonly readMs: number;
  /** Of this process, for both: what others do on the machine moves it little. */
  readonly cpuMs: number;
}

export interface SealRound {
  /** Of the batches, before anything is compressed. */
  readonly bytes: number;
  readonly plain: SealWay;
  readonly sealed: SealWay;
}

export interface SealMedians {
  /** Throughput sealed to throughput plain, within a round. */
  readonly appendToPlain: number;
  readonly readToPlain: number;
  /** Appended and read, one after the other. */
  readonly bothToPlain: number;
  /** Processor time plain to processor time sealed. */
  readonly cpuToPlain: number;
}

/** About what the source hands to capture at once. */
const batchBytes = 1024 * 1024;
const batchesOfRound = 150;

const table = (name: string, ...columns: readonly string[]): Table => ({
  schema: 'public',
  name,
  identity: 'key',
  columns: columns.map((column, index) => ({ name: column, type: 'integer', key: index === 0 })),
});
const accounts = table('pgbench_accounts', 'aid', 'bid', 'abalance', 'filler');
const tellers = table('pgbench_tellers', 'tid', 'bid', 'tbalance', 'filler');
const branches = table('pgbench_branches', 'bid', 'bbalance', 'filler');
const history = table('pgbench_history', 'tid', 'bid', 'aid', 'delta', 'mtime', 'filler');

const upTo = (limit: number): number => Math.floor(Math.random() * limit);
const rowIn = (...values: readonly (string | number | null)[]) =>
  rowOf(values.map((value) => (value === null ? null : Buffer.from(String(value)))));
const position = (order: number): Position => ({ origin: '7431250129346', order: BigInt(order), token: `0/${order}` });

/** What one transaction of TPC-B changes. */
function transaction(order: number): readonly Change[] {
  const [aid, tid, bid, delta] = [upTo(1_000_000), upTo(100), upTo(10), upTo(10_000) - 5000];
  const mtime = new Date(1_795_000_000_000 + order).toISOString();
  const filler = ' '.repeat(84);
  return [
    { kind: 'update', table: accounts, before: undefined, after: rowIn(aid, bid, upTo(1_000_000), filler) },
    { kind: 'update', table: tellers, before: undefined, after: rowIn(tid, bid, upTo(1_000_000), filler) },
    { kind: 'update', table: branches, before: undefined, after: rowIn(bid, upTo(1_000_000), null) },
    { kind: 'insert', table: history, after: rowIn(tid, bid, aid, delta, mtime, null) },
    { kind: 'commit', transaction: BigInt(order), position: position(order), committedAtUs: BigInt(order) },
  ];
}

function batches(count: number): readonly Batch[] {
  let order = 0;
  return Array.from({ length: count }, () => {
    const after = order === 0 ? undefined : position(order);
    const changes: Change[] = [];
    for (let bytes = 0; bytes < batchBytes; ) {
      const more = transaction((order += 1));
      bytes += more.reduce((sum, change) => sum + bytesOf(change), 0);
      changes.push(...more);
    }
    return { after, starts: true, changes, end: position(order) };
  });
}

interface Way {
  readonly open: (folder: string, signal: AbortSignal) => Promise<Broker>;
  readonly read: (folder: string, signal: AbortSignal) => Promise<BrokerReader>;
}

const key = randomBytes(32).toString('hex');
const ring = openKeyList({ name: 'key ring of the bench', read: async () => key });
const ways: { readonly plain: Way; readonly sealed: Way } = {
  plain: {
    open: (folder, signal) => openLogBroker({ folder }, signal),
    read: (folder, signal) => openLogReader({ folder }, signal),
  },
  sealed: {
    async open(folder, signal) {
      const openReader = (inner: AbortSignal) => openLogReader({ folder }, inner);
      return openSealedBroker({ broker: await openLogBroker({ folder }, signal), openReader, ring }, signal);
    },
    read: async (folder, signal) => openSealedReader(await openLogReader({ folder }, signal), ring),
  },
};

async function measured({ open, read }: Way, given: readonly Batch[], signal: AbortSignal): Promise<SealWay> {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-bench-seal-'));
  try {
    const cpu = process.cpuUsage();
    const began = performance.now();
    {
      await using writer = await open(folder, signal);
      for (const batch of given) await writer.append(epoch(1), batch);
    }
    const appended = performance.now();
    await using reader = await read(folder, signal);
    let left = given.length;
    for await (const _ of reader.read(offset(0), signal)) if (--left === 0) break;
    const { user, system } = process.cpuUsage(cpu);
    return { appendMs: appended - began, readMs: performance.now() - appended, cpuMs: (user + system) / 1000 };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The first of `rounds + 1` finds cold programs and is not counted. Each way begins every other round. */
export async function measureSeal(rounds: number, signal: AbortSignal): Promise<readonly SealRound[]> {
  const given = batches(batchesOfRound);
  const bytes = given.reduce((sum, { changes }) => sum + changes.reduce((all, change) => all + bytesOf(change), 0), 0);
  const took: SealRound[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    signal.throwIfAborted();
    const first = round % 2 === 0 ? await measured(ways.plain, given, signal) : undefined;
    const sealed = await measured(ways.sealed, given, signal);
    took.push({ bytes, plain: first ?? (await measured(ways.plain, given, signal)), sealed });
  }
  return took.slice(1);
}

export function sealMedians(rounds: readonly SealRound[]): SealMedians {
  const ratio = (of: (way: SealWay) => number): number =>
    median(rounds.map(({ plain, sealed }) => of(plain) / of(sealed)));
  return {
    appendToPlain: ratio(({ appendMs }) => appendMs),
    readToPlain: ratio(({ readMs }) => readMs),
    bothToPlain: ratio(({ appendMs, readMs }) => appendMs + readMs),
    cpuToPlain: ratio(({ cpuMs }) => cpuMs),
  };
}
