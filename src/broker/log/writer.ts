import type { Batch } from '../../change/change.ts';
import { encodeBatch } from '../../change/codec.ts';
import { type Epoch, type Offset, offset, type Position } from '../../change/position.ts';
import { assert, ChangeoverError } from '../../error.ts';
import type { Broker } from '../broker.ts';
import { type Disk, type DiskFile, diskFailure, errnoOf, disk as realDisk } from './disk.ts';
import {
  createFolder,
  createStream,
  endPath,
  lockPath,
  readStream,
  segmentBases,
  segmentBytes,
  segmentPath,
} from './folder.ts';
import { crcSeed, encodeEnd, entryBytesMax, entryHeadBytes, type LogState, writeEntry } from './format.ts';
import { lockFile } from './lock.ts';
import { type Active, beginSegment, type Recovered, recover } from './recover.ts';
import { type ClosedSegment, consumersOf, type Retention, trimmable } from './retention.ts';
import { openSegment } from './segment.ts';

export interface LogBrokerOptions extends Partial<Retention> {
  /** Made, with mode 0700, when it does not exist. */
  readonly folder: string;
  /** Bytes after which a segment is closed and the next one begun; an entry is never divided. Default 64 MiB. */
  readonly segmentBytesMax?: number;
  /** Default 1 GiB. */
  readonly keepBytes?: number;
  /** Default 24 h. */
  readonly keepMs?: number;
  /** Milliseconds since 1970, for labels and for `keepMs`. */
  readonly clock?: () => number;
  /** For tests of disks that fail. */
  readonly disk?: Disk;
}

/** Bytes that share one sync: enough that the sync's cost vanishes, few enough to hold twice. */
const groupBytesMax = 16 * 1024 * 1024;

interface Waiting {
  readonly epoch: Epoch;
  readonly end: Position | undefined;
  readonly payload: Buffer;
  readonly resolve: (offset: Offset) => void;
  readonly reject: (error: ChangeoverError) => void;
}

/** Opens the log in `folder` for writing, or begins one. `signal` is asked while it opens only. Throws BROKER_LOCKED, BROKER_CORRUPT,
 *  BROKER_FORMAT, BROKER_FOREIGN, BROKER_DISK_FULL, BROKER_IO. */
export async function openLogBroker(options: LogBrokerOptions, signal: AbortSignal): Promise<Broker> {
  const { folder, disk = realDisk, clock = Date.now } = options;
  const { segmentBytesMax = 64 * 1024 ** 2, keepBytes = 1024 ** 3, keepMs = 24 * 3600 * 1000 } = options;
  assert(segmentBytesMax >= 1024 && segmentBytesMax <= 1024 ** 3, `A segment of ${segmentBytesMax} bytes`);
  await createFolder(folder);
  await using opened = new AsyncDisposableStack();
  try {
    opened.use(lockFile(lockPath(folder)));
    const stream = (await readStream(folder)) ?? (await newStream(disk, folder, clock()));
    const endFile = await openEnd(disk, folder);
    opened.defer(() => endFile.close());
    const recovered = await recover({ folder, stream, disk, nowMs: clock() }, signal);
    const broker = new LogBroker({
      place: { folder, stream, disk, clock },
      limits: { segmentBytesMax, keepBytes, keepMs },
      recovered,
      endFile,
      opened: opened.move(),
    });
    await broker.begin();
    return broker;
  } catch (error) {
    signal.throwIfAborted();
    throw diskFailure(error, `Opening the log in ${folder}`);
  }
}

/** Refuses to begin a new stream over the remains of another. */
async function newStream(disk: Disk, folder: string, nowMs: number): Promise<string> {
  if ((await segmentBases(folder)).length > 0)
    throw new ChangeoverError(
      'BROKER_CORRUPT',
      `${folder} holds segments but no stream.json, which names their stream`,
    );
  return createStream(disk, folder, nowMs);
}

async function openEnd(disk: Disk, folder: string): Promise<DiskFile> {
  try {
    return await disk.open(endPath(folder), 'existing');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    return disk.open(endPath(folder), 'create');
  }
}

async function closedSegments(folder: string, stream: string, active: Offset): Promise<ClosedSegment[]> {
  const bases = await segmentBases(folder);
  const closed: ClosedSegment[] = [];
  for (const [index, base] of bases.entries()) {
    const next = bases[index + 1];
    if (next === undefined || base >= active) break;
    await using behind = await openSegment(folder, next, stream);
    // A damaged head keeps its segment and says so when it is read; here only ages are asked.
    const closedAtMs = behind?.head.createdAtMs ?? Number.POSITIVE_INFINITY;
    closed.push({ base, next, bytes: await segmentBytes(folder, base), closedAtMs });
  }
  return closed;
}

interface LogBrokerParts {
  readonly place: {
    readonly folder: string;
    readonly stream: string;
    readonly disk: Disk;
    readonly clock: () => number;
  };
  readonly limits: Retention & { readonly segmentBytesMax: number };
  readonly recovered: Recovered;
  readonly endFile: DiskFile;
  /** What else is held open: the file `end` and the lock. */
  readonly opened: AsyncDisposableStack;
}

class LogBroker implements Broker {
  readonly stream: string;
  readonly #parts: LogBrokerParts;
  readonly #seed: number;
  readonly #waiting: Waiting[] = [];
  #active: Active;
  /** All up to here is durable and published. */
  #state: LogState;
  #position: number;
  #closedSegments: ClosedSegment[] = [];
  #wasFull = false;
  /** Set by a failure after which nothing that was written can be trusted, until the log is opened again. */
  #failure: ChangeoverError | undefined;
  #draining: Promise<void> | undefined;
  #closed = false;

  constructor(parts: LogBrokerParts) {
    this.#parts = parts;
    this.stream = parts.place.stream;
    this.#seed = crcSeed(this.stream);
    ({ active: this.#active, state: this.#state, position: this.#position } = parts.recovered);
  }

  /** Call it once, before anything else. It closes what it was given when it throws. */
  async begin(): Promise<void> {
    const { folder, stream, disk } = this.#parts.place;
    try {
      await this.#publish(this.#state, this.#position);
      await this.#parts.endFile.sync();
      await disk.syncFolder(folder);
      this.#closedSegments = await closedSegments(folder, stream, this.#active.base);
      await this.#trim();
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Appends at once are kept in the order of their calls and share a sync. Throws EPOCH_FENCED; BROKER_DISK_FULL: nothing of the batch
   *  remains, and it can be appended again; BROKER_IO: this broker takes nothing any more. */
  async append(epoch: Epoch, batch: Batch): Promise<Offset> {
    assert(!this.#closed, 'Appended to a log that was closed');
    // Nothing may be awaited before the push: the order of the queue is the order of the calls.
    const payload = encodeBatch(batch);
    assert(payload.length <= entryBytesMax - entryHeadBytes, `A batch of ${payload.length} bytes is too large`);
    const { promise, resolve, reject } = Promise.withResolvers<Offset>();
    this.#waiting.push({ epoch, end: batch.end, payload, resolve, reject });
    this.#draining ??= this.#drain();
    return promise;
  }

  async tail(): Promise<Position | undefined> {
    return this.#state.end;
  }

  async isEmpty(): Promise<boolean> {
    return this.#state.next === 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#draining;
    await this.#active.file.close();
    await this.#parts.opened.disposeAsync();
  }

  async #drain(): Promise<void> {
    // One turn of patience lets a burst of calls into the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      try {
        if (this.#failure) throw this.#failure;
        const first = this.#state.next;
        await this.#commit(group);
        for (const [index, { resolve }] of group.entries()) resolve(offset(first + index));
      } catch (error) {
        const failure = diskFailure(error, `Appending to the log in ${this.#parts.place.folder}`);
        for (const { reject } of group) reject(failure);
      }
    }
    this.#draining = undefined;
  }

  /** The next ones that share a sync, without those that are fenced off. */
  #takeGroup(): readonly Waiting[] {
    const group: Waiting[] = [];
    let epoch = this.#state.epoch;
    let bytes = 0;
    let taken = 0;
    for (const one of this.#waiting) {
      if (taken > 0 && bytes + one.payload.length > groupBytesMax) break;
      taken += 1;
      if (epoch !== undefined && one.epoch < epoch) {
        one.reject(new ChangeoverError('EPOCH_FENCED', `Epoch ${one.epoch} appended to a log of epoch ${epoch}`));
        continue;
      }
      epoch = one.epoch;
      bytes += entryHeadBytes + one.payload.length;
      group.push(one);
    }
    this.#waiting.splice(0, taken);
    return group;
  }

  /** Write, sync, publish: the whole group is durable and seen by readers, or it throws and is gone. */
  async #commit(group: readonly Waiting[]): Promise<void> {
    if (group.length === 0) return;
    // Perhaps the room that lacks is ours to give.
    if (this.#wasFull) await this.#trim();
    this.#wasFull = false;
    const bytes = group.reduce((sum, { payload }) => sum + entryHeadBytes + payload.length, 0);
    const isFull = this.#position + bytes > this.#parts.limits.segmentBytesMax;
    if (isFull && this.#position > this.#active.headBytes) await this.#roll();

    const { file } = this.#active;
    const { buffer, state } = this.#frame(group, bytes);
    try {
      await file.write(buffer, this.#position);
    } catch (error) {
      throw await this.#takeBack(error);
    }
    try {
      await file.sync();
    } catch (error) {
      throw this.#fail(error, 'Syncing');
    }
    try {
      await this.#publish(state, this.#position + bytes);
    } catch (error) {
      throw this.#fail(error, 'Publishing the end of');
    }
    this.#state = state;
    this.#position += bytes;
  }

  #frame(group: readonly Waiting[], bytes: number): { readonly buffer: Buffer; readonly state: LogState } {
    const buffer = Buffer.allocUnsafe(bytes);
    const appendedAtMs = Math.max(0, Math.trunc(this.#parts.place.clock()));
    let { next, chain, end } = this.#state;
    let epoch = this.#state.epoch;
    let at = 0;
    for (const { epoch: owner, payload, end: newEnd } of group) {
      const fields = { offset: next, epoch: owner, appendedAtMs, durable: this.#position, hasEnd: !!newEnd, payload };
      chain = writeEntry(buffer, at, fields, chain, this.#seed);
      at += entryHeadBytes + payload.length;
      next = offset(next + 1);
      end = newEnd ?? end;
      epoch = owner;
    }
    // A copy: the hash must not hold the whole buffer.
    return { buffer, state: { next, epoch, chain: Buffer.from(chain), end } };
  }

  #publish(state: LogState, position: number): Promise<void> {
    return this.#parts.endFile.write(
      encodeEnd({ stream: this.stream, segment: this.#active.base, position, state }),
      0,
    );
  }

  /** After a write that failed: a full disk is healed by taking the torn bytes away; after anything else nothing is certain. */
  async #takeBack(error: unknown): Promise<ChangeoverError> {
    const failure = diskFailure(error, `Writing to the log in ${this.#parts.place.folder}`);
    if (failure.code !== 'BROKER_DISK_FULL') return this.#fail(error, 'Writing');
    try {
      await this.#active.file.truncate(this.#position);
    } catch (second) {
      return this.#fail(second, 'Taking back a torn write');
    }
    this.#wasFull = true;
    return failure;
  }

  #fail(error: unknown, doing: string): ChangeoverError {
    const message = `${doing} the log in ${this.#parts.place.folder} failed; it takes nothing until it is opened again`;
    this.#failure = new ChangeoverError('BROKER_IO', `${message}: ${error instanceof Error ? error.message : ''}`, {
      cause: error,
    });
    return this.#failure;
  }

  /** Closes the active segment, all of which is durable, and begins the next. */
  async #roll(): Promise<void> {
    const { folder, disk, clock } = this.#parts.place;
    const nowMs = Math.max(0, Math.trunc(clock()));
    const before = this.#active;
    try {
      this.#active = await beginSegment({ ...this.#parts.place, nowMs }, this.#state);
    } catch (error) {
      const failure = diskFailure(error, `Beginning a segment in ${folder}`);
      if (failure.code !== 'BROKER_DISK_FULL') throw this.#fail(error, 'Beginning a segment of');
      await disk.remove(segmentPath(folder, this.#state.next)).catch(() => undefined);
      this.#wasFull = true;
      throw failure;
    }
    await before.file.close();
    const closed = { base: before.base, next: this.#state.next, bytes: this.#position, closedAtMs: nowMs };
    this.#closedSegments.push(closed);
    this.#position = this.#active.headBytes;
    try {
      // Before anything is trimmed: the published end always names a segment that is there.
      await this.#publish(this.#state, this.#position);
    } catch (error) {
      throw this.#fail(error, 'Publishing the end of');
    }
    await this.#trim();
  }

  /** Removes, oldest first, closed segments that nobody needs. */
  async #trim(): Promise<void> {
    const { folder, disk, clock } = this.#parts.place;
    const consumers = [...(await consumersOf(folder)).values()];
    const released = consumers.length > 0 ? offset(Math.min(...consumers)) : undefined;
    const count = trimmable(this.#closedSegments, released, clock(), this.#parts.limits);
    for (const { base } of this.#closedSegments.splice(0, count)) {
      await disk.remove(segmentPath(folder, base)).catch((error: unknown) => {
        if (errnoOf(error) !== 'ENOENT') throw error;
      });
    }
  }
}
