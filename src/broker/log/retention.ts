import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Offset, offset } from '../../change/position.ts';
import { assert, ChangeoverError } from '../../error.ts';
import { diskFailure, errnoOf } from './disk.ts';
import { consumersPath } from './folder.ts';

export interface Retention {
  /** Bytes of entries that every consumer has released and that are kept all the same, for a look back. */
  readonly keepBytes: number;
  /** Milliseconds for which such entries are kept. Whichever of the two is reached first, trims. */
  readonly keepMs: number;
}

export interface ClosedSegment {
  readonly base: Offset;
  /** Offset behind its last entry: what the segment behind it begins with. */
  readonly next: Offset;
  readonly bytes: number;
  /** When the segment behind it was begun. A label: a jump of the clock can only shorten or lengthen the look back. */
  readonly closedAtMs: number;
}

/** How many segments, from the oldest, may go. `released`: what the slowest consumer has released, undefined without any consumer:
 *  then none may, since the first consumer may be about to come. */
export function trimmable(
  closed: readonly ClosedSegment[],
  released: Offset | undefined,
  nowMs: number,
  { keepBytes, keepMs }: Retention,
): number {
  if (released === undefined) return 0;
  const needless = closed.filter((segment) => segment.next <= released);
  let bytes = needless.reduce((sum, segment) => sum + segment.bytes, 0);
  let count = 0;
  for (const segment of needless) {
    if (bytes <= keepBytes && nowMs - segment.closedAtMs <= keepMs) break;
    bytes -= segment.bytes;
    count += 1;
  }
  return count;
}

/** What each consumer has released. A note that cannot be read counts as nothing released: it keeps more, never less.
 *  A consumer that will never come back holds the log for ever; removing its file lets go of it. */
export async function consumersOf(folder: string): Promise<ReadonlyMap<string, Offset>> {
  const found = new Map<string, Offset>();
  try {
    for (const name of await readdir(consumersPath(folder))) {
      if (!name.endsWith('.json')) continue;
      found.set(name.slice(0, -'.json'.length), await releasedIn(join(consumersPath(folder), name)));
    }
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw diskFailure(error, `Reading ${consumersPath(folder)}`);
  }
  return found;
}

async function releasedIn(path: string): Promise<Offset> {
  try {
    const found: unknown = JSON.parse(await readFile(path, 'utf8'));
    const released = typeof found === 'object' && found !== null && 'released' in found ? found.released : undefined;
    return typeof released === 'number' ? offset(released) : offset(0);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof ChangeoverError) return offset(0);
    throw error;
  }
}

/** Consumers may release with every batch; their notes are written this seldom. A note that is late keeps more, never less. */
const noteMsMin = 1000;

interface Note {
  readonly path: string;
  from: Offset;
  written: Offset | undefined;
  writtenAtMs: number;
  writing: Promise<void>;
  timer: NodeJS.Timeout | undefined;
  failure: unknown;
}

/** The notes of the consumers of one reader. */
export class ReleaseNotes implements AsyncDisposable {
  readonly #folder: string;
  readonly #notes = new Map<string, Note>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Resolves once noted, or at once when a note was written a moment ago: then this one follows, and a failure of it is thrown by the
   *  next call. Throws BROKER_IO; a full disk only makes the note late: it must not stop those who would help to empty it. */
  async release(consumer: string, from: Offset): Promise<void> {
    const note = this.#noteOf(consumer);
    note.from = from;
    if (note.timer) return;
    const { failure } = note;
    note.failure = undefined;
    if (failure !== undefined) throw failure;
    const waitMs = note.writtenAtMs + noteMsMin - performance.now();
    if (waitMs <= 0) return write(note);
    const follow = (): void => {
      note.timer = undefined;
      write(note).catch((error: unknown) => {
        note.failure = error;
      });
    };
    note.timer = setTimeout(follow, waitMs).unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const note of this.#notes.values()) {
      clearTimeout(note.timer);
      // Whoever closes can do nothing about it, and an old note only keeps more.
      await write(note).catch(() => undefined);
    }
    this.#notes.clear();
  }

  #noteOf(consumer: string): Note {
    assert(/^[a-z0-9][a-z0-9._-]{0,99}$/i.test(consumer), `Not a name for a consumer: ${consumer}`);
    const known = this.#notes.get(consumer);
    if (known) return known;
    const note: Note = {
      path: join(consumersPath(this.#folder), `${consumer}.json`),
      from: offset(0),
      written: undefined,
      writtenAtMs: -Infinity,
      writing: Promise.resolve(),
      timer: undefined,
      failure: undefined,
    };
    this.#notes.set(consumer, note);
    return note;
  }
}

/** One at a time, or an older note could overtake a newer one. */
function write(note: Note): Promise<void> {
  note.writtenAtMs = performance.now();
  note.writing = note.writing.catch(() => undefined).then(() => put(note));
  return note.writing;
}

async function put(note: Note): Promise<void> {
  const { from, path } = note;
  if (note.written === from) return;
  try {
    // Not synced: a note that a power cut empties counts as nothing released.
    await writeFile(`${path}.new`, `${JSON.stringify({ released: from })}\n`, { mode: 0o600 });
    await rename(`${path}.new`, path);
    note.written = from;
  } catch (error) {
    const failure = diskFailure(error, `Writing ${path}`);
    if (failure.code !== 'BROKER_DISK_FULL') throw failure;
  }
}
