import type { Batch, Change } from '../../src/change/change.ts';
import type { Position } from '../../src/change/position.ts';
import { rowOf } from '../../src/change/row.ts';
import { ChangeoverError } from '../../src/error.ts';
import { copyTextOf } from '../../src/source/memory/rows.ts';
import type { Source, SourceInspector } from '../../src/source/source.ts';
import type { Checks } from './checks.ts';
import { type Database, type Session, tables } from './database.ts';
import { type Line, silenceMsMax } from './network.ts';
import { notSimulated } from './not-simulated.ts';

/** A transaction with more changes than that comes in pieces. */
const pieceChangesMax = 6;
const heartbeatMs = 1000;

const lost = (position: Position, why: string): ChangeoverError =>
  new ChangeoverError('SOURCE_POSITION_LOST', `The position ${position.token} ${why}`);

/** The port by which a site's changes are read, over the network. */
export function openSource(line: Line, checks: Checks): Source {
  const { database, process } = line;
  const closing = new AbortController();
  const me: Session = { isOpen: true };
  const leave = (): void => {
    me.isOpen = false;
    if (database.reader === me) database.reader = undefined;
  };
  process.onDeath.add(leave);
  const both = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, closing.signal]);
  return {
    snapshot: ({ again }, signal) => snapshot(line, again, both(signal)),
    read: (after, signal) => read(line, { after, me }, both(signal)),
    async acknowledge(position) {
      // Sent, and not waited for: one that is lost is made up for by the next.
      line
        .call(() => {
          const { slot } = database;
          if (database.reader !== me || !slot || position.order <= slot.kept) return;
          slot.kept = position.order;
          checks.acknowledged(database, position);
        })
        .catch(() => undefined);
    },
    async [Symbol.asyncDispose]() {
      closing.abort(new ChangeoverError('SOURCE_UNREACHABLE', 'The source was closed'));
      leave();
      process.onDeath.delete(leave);
    },
  };
}

async function* snapshot(line: Line, again: boolean, signal: AbortSignal): AsyncGenerator<Batch> {
  const { database } = line;
  const piece = (changes: readonly Change[], end?: Position): Batch => ({
    after: undefined,
    starts: false,
    changes,
    end,
  });
  await line.call(() => {
    if (database.slot && !again) throw new ChangeoverError('SOURCE_SLOT_FOREIGN', 'Something is kept here');
  }, signal);
  yield { ...piece([]), starts: true };
  const { here, rows } = await line.call(() => {
    database.flush();
    database.slot = { kept: database.end };
    return { here: database.at(database.end), rows: [...database.rows] };
  }, signal);
  yield piece([{ kind: 'snapshot', tables }]);
  for (const table of tables) {
    await line.receive(signal);
    const mine = rows.filter(([key]) => key.startsWith(`${table.name}/`));
    const block = copyTextOf(
      mine.map(([key, value]) => rowOf([Buffer.from(key.slice(table.name.length + 1)), Buffer.from(value)])),
    );
    if (mine.length > 0) yield piece([{ kind: 'rows', table, count: mine.length, block }]);
  }
  yield piece([], here);
}

interface Reading {
  readonly after: Position;
  readonly me: Session;
}

async function* read(line: Line, { after, me }: Reading, signal: AbortSignal): AsyncGenerator<Batch> {
  const { database } = line;
  const incarnation = await line.call(() => {
    const { slot } = database;
    if (after.origin !== database.origin) throw lost(after, 'belongs to another history');
    if (!slot) throw new ChangeoverError('SOURCE_SLOT_LOST', `Nothing is kept after ${after.token}`);
    if (slot.kept > after.order) throw lost(after, `is forgotten up to ${slot.kept}`);
    if (after.order > database.end) throw lost(after, `lies behind the end, ${database.end}`);
    if (database.reader) throw new ChangeoverError('SOURCE_SLOT_BUSY', 'Somebody reads the slot');
    if (!me.isOpen) throw line.unreachable('ended our session');
    database.reader = me;
    beat(line, me);
    return database.incarnation;
  }, signal);
  const prove = (): void => {
    signal.throwIfAborted();
    if (database.reader !== me || database.incarnation !== incarnation) throw line.unreachable('ended our session');
  };
  for (let from = after; ; ) {
    prove();
    const ready = database.readable(from.order);
    if (ready.length === 0) {
      await news(line, signal);
      continue;
    }
    await line.receive(signal);
    for (const batch of batchesOf(database, from, ready)) {
      yield batch;
      from = batch.end ?? from;
      prove();
    }
  }
}

/** What keeps an idle slot moving. */
function beat(line: Line, me: object): void {
  const { database, process } = line;
  process.machine.scheduler.after(heartbeatMs, () => {
    if (database.reader !== me) return;
    database.emit('changeover');
    beat(line, me);
  });
}

/** Until something is there to read. Throws where the line stays silent for too long. */
function news(line: Line, signal: AbortSignal): Promise<void> {
  const { process, database } = line;
  return process.wait((resolve, reject) => {
    const takeBack = database.onNews(resolve);
    signal.addEventListener('abort', takeBack, { once: true });
    const look = (): void => {
      if (signal.aborted) return;
      takeBack();
      if (line.isHeard) resolve();
      else reject(line.unreachable('is silent'));
    };
    process.machine.scheduler.after(silenceMsMax, look);
  }, signal);
}

/** One batch of all that fits together; a transaction that is too big comes in pieces of its own. */
function* batchesOf(database: Database, after: Position, ready: ReturnType<Database['readable']>): Generator<Batch> {
  let from = after;
  let run: Change[] = [];
  let runEnd = after;
  for (const { order, changes } of ready) {
    const end = database.at(order);
    if (changes.length <= pieceChangesMax) {
      run.push(...changes);
      runEnd = end;
      continue;
    }
    if (run.length > 0) yield { after: from, starts: true, changes: run, end: runEnd };
    if (run.length > 0) from = runEnd;
    run = [];
    for (let at = 0; at < changes.length; at += pieceChangesMax) {
      const isLast = at + pieceChangesMax >= changes.length;
      const piece = changes.slice(at, at + pieceChangesMax);
      yield { after: from, starts: at === 0, changes: piece, end: isLast ? end : undefined };
    }
    from = end;
    runEnd = end;
  }
  if (run.length > 0) yield { after: from, starts: true, changes: run, end: runEnd };
}

/** What control asks of a site as a source. */
export function openSourceInspector(line: Line): SourceInspector {
  const { database } = line;
  return {
    mark: (signal) => line.call(() => database.at(database.emit('changeover') - 4n), signal),
    arm: (signal) =>
      line.call(
        () => {
          if (database.reader) throw new ChangeoverError('SOURCE_SLOT_BUSY', 'The slot is being read');
          database.slot = { kept: database.end };
        },
        signal,
        { twice: true },
      ),
    forget: (signal) =>
      line.call(
        () => {
          if (database.reader) throw new ChangeoverError('SOURCE_SLOT_BUSY', 'The slot is being read');
          database.slot = undefined;
        },
        signal,
        { twice: true },
      ),
    foothold: notSimulated,
    abandon: notSimulated,
    observe: notSimulated,
    ask: notSimulated,
    view: notSimulated,
    check: notSimulated,
    profile: notSimulated,
    async [Symbol.asyncDispose]() {},
  };
}
