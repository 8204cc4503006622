import type { BrokerObservation, BrokerReader, Entry } from '../broker/broker.ts';
import { committedAtUs } from '../change/change.ts';
import { nextOffset, type Offset, offset } from '../change/position.ts';
import { bytesWords, countWords, grouped } from '../control/words.ts';
import { ChangeoverError } from '../error.ts';
import { aligned, outJson, paint, type Session } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { type ConfiguredOptions, configurationFor, numberIn } from './lane.ts';

export interface LogListOptions extends ConfiguredOptions {
  readonly from?: string;
  readonly limit: string;
}

interface Row {
  readonly offset: Offset;
  readonly epoch: number;
  readonly end: string | null;
  /** How many of each kind; rows of a snapshot are counted one by one. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly bytes: number;
  readonly committedAt: string | null;
}

export async function logList(session: Session, options: LogListOptions): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const limit = numberIn(options.limit, { name: '--limit', least: 1 });
  const asked = options.from === undefined ? undefined : numberIn(options.from, { name: '--from' });
  await using reader = await house.logReader(await configurationFor(session, options), signal);
  const log = await reader.observe();
  const from = asked ?? Math.max(log.first, log.next - limit);
  const rows = await rowsFrom({ reader, log, from, limit }, signal);
  const { stream, first, next, bytes } = log;
  if (options.json) {
    outJson(desk, { schema: 'changeover.log.ls/1', stream, first, next, bytes, entries: rows });
    return 0;
  }
  const held = next === first ? '' : `, ${first} to ${next - 1}`;
  const end = log.end === undefined ? 'no whole copy yet' : `up to ${log.end.token}`;
  desk.out(
    `${paint(desk, 'bold', countWords(next - first, 'entry', 'entries'))}${held}, ${bytesWords(bytes)}, ${end}\n\n`,
  );
  const head = ['offset', 'epoch', 'end', 'committed', 'bytes', 'changes'];
  const cells = rows.map((row) => [
    String(row.offset),
    String(row.epoch),
    row.end ?? '-',
    row.committedAt ?? '-',
    bytesWords(row.bytes),
    kindsWords(row.kinds),
  ]);
  if (rows.length > 0) desk.out(aligned([head, ...cells]));
  return 0;
}

interface Listing {
  readonly reader: BrokerReader;
  readonly log: BrokerObservation;
  readonly from: number;
  readonly limit: number;
}

async function rowsFrom({ reader, log, from, limit }: Listing, signal: AbortSignal): Promise<readonly Row[]> {
  if (log.first === log.next) return [];
  if (from < log.first || from >= log.next) throw outside(from, log);
  const rows: Row[] = [];
  for await (const entry of reader.read(offset(from), signal)) {
    rows.push(await rowOf(entry, log));
    if (rows.length === limit || entry.offset === log.next - 1) break;
  }
  return rows;
}

/** Throws CLI_USAGE: the log does not hold such an entry. */
export const outside = (asked: number, { first, next }: BrokerObservation): ChangeoverError =>
  new ChangeoverError(
    'CLI_USAGE',
    next === first ? 'The log holds no entry yet' : `The log holds the entries ${first} to ${next - 1}, not ${asked}`,
  );

async function rowOf(entry: Entry, log: BrokerObservation): Promise<Row> {
  const kinds: Record<string, number> = {};
  for (const change of entry.batch.changes)
    kinds[change.kind] = (kinds[change.kind] ?? 0) + (change.kind === 'rows' ? change.count : 1);
  const behind = entry.offset + 1 < log.next ? await log.bytesFrom(nextOffset(entry.offset)) : 0;
  return {
    offset: entry.offset,
    epoch: entry.epoch,
    end: entry.batch.end?.token ?? null,
    kinds,
    bytes: (await log.bytesFrom(entry.offset)) - behind,
    committedAt: timeOf(committedAtUs(entry.batch)),
  };
}

/** ISO 8601 with microseconds, as PostgreSQL counts them. */
export function timeOf(us: bigint | undefined): string | null {
  if (us === undefined) return null;
  const micros = String(us % 1000n).padStart(3, '0');
  return new Date(Number(us / 1000n)).toISOString().replace('Z', `${micros}Z`);
}

const kindsWords = (kinds: Row['kinds']): string =>
  Object.entries(kinds)
    .map(([kind, count]) => `${grouped(count)} ${kind}`)
    .join(', ') || 'none: a mark in the stream';
