import { availableParallelism, cpus, totalmem } from 'node:os';
import type { Round, Way } from './catchup.ts';
import { type Latency, median } from './latency.ts';
import { settings } from './pair.ts';
import type { SealMedians, SealRound, SealWay } from './seal.ts';
import type { SnapshotRound } from './snapshot.ts';

/** Everything that was measured, as `--json` prints it. Fields of what was left out are missing. */
export interface Report {
  readonly schema: 'changeover.bench/1';
  readonly startedAt: string;
  readonly system: {
    readonly platform: string;
    readonly processor: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly node: string;
    readonly postgres: string;
    readonly changeover: string;
    readonly fdatasyncMs: number;
  };
  readonly settings: Readonly<Record<string, string>>;
  readonly options: {
    readonly changes: number;
    readonly scale: number;
    readonly rounds: number;
    readonly only: string | undefined;
  };
  readonly catchUp?: { readonly rounds: readonly Round[]; readonly medians: CatchUpMedians };
  readonly workloads?: readonly WorkloadReport[];
  readonly latency?: { readonly native: Latency; readonly changeover: Latency };
  readonly snapshot?: { readonly rounds: readonly SnapshotRound[]; readonly medians: SnapshotMedians };
  readonly seal?: { readonly rounds: readonly SealRound[]; readonly medians: SealMedians };
  /** The most memory that Changeover's process ever held. */
  readonly rssBytesMax: number;
}

/** Catch-up of a workload that is not TPC-B. */
export interface WorkloadReport {
  readonly name: string;
  readonly says: string;
  /** Of each round. */
  readonly changes: number;
  readonly rounds: readonly Round[];
  readonly medians: CatchUpMedians;
}

/** Ratios are taken within a round, and then their median: what disturbs a round disturbs both sides of its ratios. */
export interface CatchUpMedians {
  readonly changesPerSecond: Readonly<Record<Way, number>>;
  readonly slotToNative: number;
  readonly slotToBare: number;
  readonly captureToBare: number;
  readonly logToNative: number;
  /** Processor seconds per million changes: of Changeover's process, and of the server processes that worked for each. */
  readonly cpuPerMillion: {
    readonly nativeServers: number;
    readonly slotAgent: number;
    readonly slotServers: number;
    readonly logAgent: number;
    readonly logServers: number;
  };
}

export interface SnapshotMedians {
  readonly changeoverRowsPerSecond: number;
  readonly copyRowsPerSecond: number;
  readonly changeoverToCopy: number;
}

export function catchUpMedians(rounds: readonly Round[], changes: number): CatchUpMedians {
  const of = (take: (round: Round) => number): number => median(rounds.map(take));
  const speed = (way: Way): number => of(({ took }) => took[way].changesPerSecond);
  const ratio = (way: Way, to: Way): number => of(({ took }) => took[way].changesPerSecond / took[to].changesPerSecond);
  const perMillion = (take: (round: Round) => number): number => (of(take) / changes) * 1000;
  return {
    changesPerSecond: {
      native: speed('native'),
      slot: speed('slot'),
      capture: speed('capture'),
      log: speed('log'),
      bare: speed('bare'),
    },
    slotToNative: ratio('slot', 'native'),
    slotToBare: ratio('slot', 'bare'),
    captureToBare: ratio('capture', 'bare'),
    logToNative: ratio('log', 'native'),
    cpuPerMillion: {
      nativeServers: perMillion(({ took }) => took.native.serverCpuMs),
      slotAgent: perMillion(({ took }) => took.slot.agentCpuMs),
      slotServers: perMillion(({ took }) => took.slot.serverCpuMs),
      logAgent: perMillion(({ took }) => took.log.agentCpuMs),
      logServers: perMillion(({ took }) => took.log.serverCpuMs),
    },
  };
}

export function snapshotMedians(rounds: readonly SnapshotRound[]): SnapshotMedians {
  return {
    changeoverRowsPerSecond: median(rounds.map(({ rows, changeoverMs }) => rows / (changeoverMs / 1000))),
    copyRowsPerSecond: median(rounds.map(({ rows, copyMs }) => rows / (copyMs / 1000))),
    changeoverToCopy: median(rounds.map(({ copyMs, changeoverMs }) => copyMs / changeoverMs)),
  };
}

export const systemOf = (known: { postgres: string; changeover: string; fdatasyncMs: number }): Report['system'] => ({
  platform: `${process.platform}-${process.arch}`,
  processor: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  memoryBytes: totalmem(),
  node: process.version,
  ...known,
});

const thousands = (value: number): string => Math.round(value).toLocaleString('en');
const times = (value: number): string => `${value.toFixed(2)}x`;
const ms = (value: number): string => `${value.toFixed(1)} ms`;
const mb = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MB`;
const seconds = (value: number): string => `${value.toFixed(2)} s`;

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ');
  return rows.map((row) => `  ${line(row).trimEnd()}`).join('\n');
}

/** The report for people. */
export function printed(report: Report): string {
  const { system, options } = report;
  const parts = [
    `PostgreSQL ${system.postgres}, Node ${system.node}, ${system.cores} cores (${system.processor}), ${system.platform}, fdatasync ${ms(system.fdatasyncMs)}
Both servers: ${Object.entries(settings)
      .map(([name, value]) => `${name} = ${value}`)
      .join(', ')}; otherwise as they come (durable).
Scale ${options.scale}, ${thousands(options.changes)} changes a round, ${options.rounds} rounds after one that is not counted; medians, ratios within a round.
No checkpoint while measuring; every secondary is vacuumed before each measurement, none has indexes but the primary keys.
Every secondary was equal to the primary after every measurement.`,
  ];
  if (report.catchUp) parts.push(printedCatchUp(report.catchUp));
  if (report.workloads) parts.push(printedWorkloads(report.workloads));
  if (report.latency) parts.push(printedLatency(report.latency));
  if (report.snapshot) parts.push(printedSnapshot(report.snapshot));
  if (report.seal) parts.push(printedSeal(report.seal));
  parts.push(`Most memory of Changeover's process, capture and apply together: ${mb(report.rssBytesMax)}`);
  return `${parts.join('\n\n')}\n`;
}

function printedCatchUp({ rounds, medians }: NonNullable<Report['catchUp']>): string {
  const row = (what: string, way: Way): readonly string[] => [
    what,
    thousands(medians.changesPerSecond[way]),
    times(median(rounds.map(({ took }) => took[way].changesPerSecond / took.native.changesPerSecond))),
    times(median(rounds.map(({ took }) => took[way].changesPerSecond / took.bare.changesPerSecond))),
    rounds.map(({ took }) => seconds(took[way].ms / 1000)).join(' '),
  ];
  const { nativeServers, slotAgent, slotServers, logAgent, logServers } = medians.cpuPerMillion;
  return `Catch-up
${table([
  ['', 'changes/s', 'native', 'bare', 'each round'],
  row('native subscription', 'native'),
  row('Changeover, from the slot', 'slot'),
  row('Changeover, capture into the log alone', 'capture'),
  row('Changeover, from the log', 'log'),
  row('bare read of the slot', 'bare'),
])}
  Processor seconds per million changes: native ${nativeServers.toFixed(1)} (walsender and apply worker);
  Changeover from the slot ${slotAgent.toFixed(1)} + ${slotServers.toFixed(1)} of the servers for it; from the log ${logAgent.toFixed(1)} + ${logServers.toFixed(1)}`;
}

function printedWorkloads(workloads: readonly WorkloadReport[]): string {
  const row = ({ name, says, medians, rounds }: WorkloadReport): readonly string[] => [
    `${name}: ${says}`,
    thousands(medians.changesPerSecond.native),
    times(medians.slotToNative),
    times(medians.logToNative),
    rounds.map(({ took }) => times(took.log.changesPerSecond / took.native.changesPerSecond)).join(' '),
  ];
  return `Catch-up of other workloads
${table([['', 'native, changes/s', 'slot', 'log', 'log, each round'], ...workloads.map(row)])}`;
}

function printedLatency({ native, changeover }: NonNullable<Report['latency']>): string {
  const row = (what: string, took: Latency): readonly string[] => [
    what,
    ...[took.p50Ms, took.p95Ms, took.p99Ms, took.mostMs, took.commitMs, took.lookMs].map(ms),
  ];
  return `Commit to visible, 200 transactions/s
${table([['', 'p50', 'p95', 'p99', 'most', 'commit', 'look'], row('native subscription', native), row('Changeover', changeover)])}`;
}

function printedSnapshot({ rounds, medians }: NonNullable<Report['snapshot']>): string {
  return `Snapshot of the accounts
${table([
  ['', 'rows/s', 'COPY', 'each round'],
  [
    'COPY | COPY',
    thousands(medians.copyRowsPerSecond),
    times(1),
    rounds.map(({ copyMs }) => seconds(copyMs / 1000)).join(' '),
  ],
  [
    'Changeover, through the log',
    thousands(medians.changeoverRowsPerSecond),
    times(medians.changeoverToCopy),
    rounds.map(({ changeoverMs }) => seconds(changeoverMs / 1000)).join(' '),
  ],
])}`;
}

export function printedSeal({ rounds, medians }: NonNullable<Report['seal']>): string {
  const speed = (of: (round: SealRound) => number): string =>
    `${Math.round(median(rounds.map((round) => round.bytes / 1e6 / (of(round) / 1000))))} MB/s`;
  const row = (what: string, of: (way: SealWay) => number, ratio: number): readonly string[] => [
    what,
    speed(({ plain }) => of(plain)),
    speed(({ sealed }) => of(sealed)),
    times(ratio),
    rounds.map(({ plain, sealed }) => times(of(plain) / of(sealed))).join(' '),
  ];
  return `The log sealed and not, batches of 1 MB one at a time, durable
${table([
  ['', 'plain', 'sealed', 'to plain', 'each round'],
  row('append', ({ appendMs }) => appendMs, medians.appendToPlain),
  row('read', ({ readMs }) => readMs, medians.readToPlain),
  row('append and read', ({ appendMs, readMs }) => appendMs + readMs, medians.bothToPlain),
  row('the same, by processor time', ({ cpuMs }) => cpuMs, medians.cpuToPlain),
])}`;
}
