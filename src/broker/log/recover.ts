import { readFile } from 'node:fs/promises';
import { decodeBatch } from '../../change/codec.ts';
import { type Offset, offset } from '../../change/position.ts';
import { ChangeoverError } from '../../error.ts';
import { type Disk, type DiskFile, diskFailure, errnoOf } from './disk.ts';
import { endPath, segmentBases, segmentPath } from './folder.ts';
import {
  crcSeed,
  type DurableEnd,
  decodeEnd,
  encodeSegmentHead,
  framedBytesMax,
  type LogState,
  noChain,
  provesDurable,
  type StoredEntry,
} from './format.ts';
import { corrupt, openSegment, type Segment } from './segment.ts';

/** The segment that takes the next entry. */
export interface Active {
  readonly base: Offset;
  readonly file: DiskFile;
  readonly headBytes: number;
}

export interface Recovered {
  readonly active: Active;
  readonly state: LogState;
  /** Where the next entry goes in the active segment's file. All before it is durable. */
  readonly position: number;
}

export interface RecoverOptions {
  readonly folder: string;
  readonly stream: string;
  readonly disk: Disk;
  readonly nowMs: number;
}

/** Finds where the log ends after whatever happened to its writer, and makes sure that all of it is durable. Only the last segment is
 *  read. Call it with the lock held. Throws BROKER_CORRUPT, BROKER_IO, BROKER_DISK_FULL, the reason of `signal`. */
export async function recover(options: RecoverOptions, signal: AbortSignal): Promise<Recovered> {
  const recorded = await recordedEnd(options);
  const bases = await segmentBases(options.folder);
  for (let base = bases.at(-1); base !== undefined; base = bases.at(bases.indexOf(base) - 1)) {
    const segment = await openSegment(options.folder, base, options.stream);
    if (segment) {
      await using open = segment;
      return await recoverSegment(options, open, recorded, signal);
    }
    await removeUnbegun(options, base, recorded);
    if (base === bases[0]) break;
  }
  if (bases.length > 1 || (bases[0] ?? 0) > 0 || (recorded && recorded.state.next > 0))
    throw new ChangeoverError('BROKER_CORRUPT', `Segments are missing in ${options.folder}`);
  const state = { next: offset(0), epoch: undefined, chain: noChain, end: undefined };
  const active = await beginSegment(options, state);
  return { active, state, position: active.headBytes };
}

/** Makes the segment that opens with `before`, durably. */
export async function beginSegment(options: RecoverOptions, before: LogState): Promise<Active> {
  const { folder, stream, disk, nowMs } = options;
  const path = segmentPath(folder, before.next);
  const head = encodeSegmentHead({ stream, createdAtMs: nowMs, before });
  const file = await disk.open(path, 'create');
  try {
    await file.write(head, 0);
    await file.sync();
    await disk.syncFolder(folder);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { base: before.next, file, headBytes: head.length };
}

/** What the writer last said was durable. It is not synced itself, so a power cut can leave an older one, or none. */
async function recordedEnd({ folder, stream }: RecoverOptions): Promise<DurableEnd | undefined> {
  try {
    const end = decodeEnd(await readFile(endPath(folder)));
    if (end && end.stream !== stream)
      throw new ChangeoverError('BROKER_FOREIGN', `${endPath(folder)} belongs to stream ${end.stream}, not ${stream}`);
    return end;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw diskFailure(error, `Reading ${endPath(folder)}`);
  }
}

/** Removes a last segment whose head a crash cut short: heads are durable before any entry is written behind them. */
async function removeUnbegun(options: RecoverOptions, base: Offset, recorded: DurableEnd | undefined): Promise<void> {
  const { folder, stream, disk } = options;
  const bytes = await readFile(segmentPath(folder, base));
  const wasWhole = recorded !== undefined && recorded.segment >= base && recorded.state.next > 0;
  if (wasWhole || bytes.length > framedBytesMax || provesDurable(bytes, 0, 0, crcSeed(stream)))
    throw corrupt(folder, { segment: base, offset: base, position: 0, why: 'its head is damaged' });
  await disk.remove(segmentPath(folder, base));
  await disk.syncFolder(folder);
}

async function recoverSegment(
  options: RecoverOptions,
  segment: Segment,
  recorded: DurableEnd | undefined,
  signal: AbortSignal,
): Promise<Recovered> {
  const { folder, disk } = options;
  const { base, headBytes } = segment;
  const size = await segment.size();
  const lastWithEnd = await scan(options, segment, recorded, size, signal);
  const { position, link } = segment;
  if (recorded && recorded.state.next > link.next)
    throw corrupt(folder, {
      segment: base,
      offset: link.next,
      position,
      why: `the log ends here, but entries before ${recorded.state.next} were durable`,
    });

  const file = await disk.open(segmentPath(folder, base), 'existing');
  try {
    if (size > position) await file.truncate(position);
    const from = recorded?.segment === base ? recorded.position : 0;
    await makeDurable(segment, file, from, position);
    if (size > position || from < position) await file.sync();
    await disk.syncFolder(folder);
  } catch (error) {
    await file.close();
    throw error;
  }
  const end = lastWithEnd ? decodeBatch(lastWithEnd.payload).end : segment.head.before.end;
  return { active: { base, file, headBytes }, state: { ...link, end }, position };
}

/** Reads to where the segment's entries end. Throws BROKER_CORRUPT where a bad entry cannot be a write that a crash cut short. */
async function scan(
  { folder, stream }: RecoverOptions,
  segment: Segment,
  recorded: DurableEnd | undefined,
  size: number,
  signal: AbortSignal,
): Promise<StoredEntry | undefined> {
  const durable = recorded?.segment === segment.base ? recorded.position : segment.headBytes;
  let lastWithEnd: StoredEntry | undefined;
  for (;;) {
    signal.throwIfAborted();
    const { entries, broken } = await segment.read(size);
    lastWithEnd = entries.findLast((entry) => entry.hasEnd) ?? lastWithEnd;
    if (broken) {
      const behind = broken.position + 1;
      const rest = await segment.bytes(behind, size);
      if (broken.position < durable || provesDurable(rest, behind, broken.position, crcSeed(stream)))
        throw corrupt(folder, broken);
      return lastWithEnd;
    }
    if (entries.length === 0) return lastWithEnd;
  }
}

/** Writes bytes over themselves. A sync that failed before may have left them in the page cache as clean although the disk never got
 *  them; a sync alone would then succeed without doing anything. https://wiki.postgresql.org/wiki/Fsync_Errors */
async function makeDurable(segment: Segment, file: DiskFile, from: number, to: number): Promise<void> {
  const step = 1024 * 1024;
  for (let at = from; at < to; at += step) await file.write(await segment.bytes(at, Math.min(to, at + step)), at);
}
