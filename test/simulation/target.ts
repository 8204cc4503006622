import type { Change } from '../../src/change/change.ts';
import { changesOf } from '../../src/change/net.ts';
import { cells, type Row } from '../../src/change/row.ts';
import { assert, ChangeoverError, unreachable } from '../../src/error.ts';
import { parseCopyText } from '../../src/target/memory/copy-text.ts';
import type { Order } from '../../src/target/memory/state.ts';
import type { Checkpoint, Target, TargetInspector, TargetTransaction } from '../../src/target/target.ts';
import type { Checks } from './checks.ts';
import type { Database, Session, Write } from './database.ts';
import { type Line, silenceMsMax } from './network.ts';
import { notSimulated } from './not-simulated.ts';

/** The port by which a site is fed. */
export async function openTarget(line: Line, checks: Checks, signal: AbortSignal): Promise<Target> {
  const { database, process } = line;
  const me: Session = { isOpen: true };
  const leave = (): void => {
    me.isOpen = false;
    if (database.writer === me) database.writer = undefined;
  };
  // A server notices at once that a process is gone, or when its packets come back no more.
  const abandon = (): void => (line.isHeard ? leave() : process.machine.scheduler.after(silenceMsMax, leave));
  process.onDeath.add(abandon);
  const claim = (): void => {
    if (!me.isOpen) throw line.unreachable('ended our session');
    if (database.writer) throw new ChangeoverError('TARGET_BUSY', 'Somebody feeds this site');
    database.writer = me;
  };
  await line.call(claim, signal).catch((error: unknown) => {
    leave();
    throw error;
  });
  const ours = <T>(effect: () => T): Promise<T> =>
    line.call(() => {
      if (database.writer !== me) throw line.unreachable('ended our session');
      return effect();
    });
  let known: Checkpoint | undefined;
  return {
    async checkpoint() {
      known = await ours(() => database.checkpoint);
      return known;
    },
    prepare: () => undefined,
    begin: async () =>
      transaction(database, ours, (writes, checkpoint, facts) => {
        const there = database.checkpoint;
        if (there?.offset !== known?.offset || there?.stream !== known?.stream)
          throw new ChangeoverError('TARGET_STALE', 'The checkpoint is not the one that we continue from');
        const before = { checkpoint: there, isCopied: database.isCopied };
        database.transact(writes, [], () => {
          database.checkpoint = checkpoint;
          database.isCopied ||= facts.isCopied;
          return () => Object.assign(database, before);
        });
        database.drifted += facts.drifted;
        known = checkpoint;
        checks.applied(database, checkpoint, writes.length);
      }),
    flush: () => ours(() => database.flush()),
    show: async () => undefined,
    async [Symbol.asyncDispose]() {
      process.onDeath.delete(abandon);
      abandon();
    },
  };
}

interface Facts {
  drifted: number;
  isCopied: boolean;
}

function transaction(
  database: Database,
  ours: <T>(effect: () => T) => Promise<T>,
  commit: (writes: readonly Write[], checkpoint: Checkpoint, facts: Facts) => void,
): TargetTransaction {
  let written = new Map<string, string | undefined>();
  const facts: Facts = { drifted: 0, isCopied: false };
  let isOver = false;
  const write = (changes: readonly Change[], order: Order): Promise<void> =>
    ours(() => {
      assert(!isOver, 'A target transaction was used after its end');
      // To a copy: what trips is undone by forgetting it.
      const next = new Map(written);
      for (const change of order === 'net' ? changes.toSorted((a, b) => rank(a) - rank(b)) : changes)
        writeOne({ database, next, order, facts }, change);
      written = next;
    });
  return {
    write: (changes) => write(changes, 'kept'),
    writeNet: (net) => write([...changesOf(net)], 'net'),
    commit: (checkpoint) =>
      ours(() => {
        assert(!isOver, 'A target transaction was committed after its end');
        isOver = true;
        commit(
          [...written].map(([key, value]) => ({ key, value })),
          checkpoint,
          facts,
        );
      }),
    async [Symbol.asyncDispose]() {
      isOver = true;
    },
  };
}

interface Writing {
  readonly database: Database;
  readonly next: Map<string, string | undefined>;
  readonly order: Order;
  readonly facts: Facts;
}

function writeOne({ database, next, order, facts }: Writing, change: Change): void {
  const isThere = (key: string): boolean => (next.has(key) ? next.get(key) : database.rows.get(key)) !== undefined;
  switch (change.kind) {
    case 'insert':
    case 'update':
    case 'delete': {
      const [id, value] = textsOf(change.kind === 'delete' ? change.before : change.after);
      const key = `${change.table.name}/${id}`;
      if (isThere(key) === (change.kind === 'insert')) {
        if (order === 'net') throw new ChangeoverError('TARGET_CONFLICT', `${key} is not as it should be`);
        facts.drifted += 1;
      }
      next.set(key, change.kind === 'delete' ? undefined : value);
      return;
    }
    case 'snapshot':
      if (database.rows.size > 0 && !database.isCopied)
        throw new ChangeoverError('TARGET_NOT_EMPTY', 'There are rows already');
      for (const key of database.rows.keys()) next.set(key, undefined);
      facts.isCopied = true;
      return;
    case 'rows':
      for (const [id, value] of parseCopyText(change.block))
        next.set(`${change.table.name}/${String(id)}`, String(value));
      return;
    case 'message':
    case 'commit':
    case 'control':
      return;
    case 'truncate':
    case 'clear':
    case 'schema':
    case 'ddl':
    case 'sequences':
    case 'sealed':
      throw new ChangeoverError('ASSERTION', `Nobody sent a ${change.kind}`);
    default:
      unreachable(change);
  }
}

const rank = ({ kind }: Change): number => ['delete', 'update', 'insert'].indexOf(kind);
const textsOf = (row: Row): readonly [string, string] => {
  const [id, value] = [...cells(row)];
  return [String(id), String(value)];
};

/** What control asks of a site as a target. */
export function openTargetInspector(line: Line): TargetInspector {
  const { database } = line;
  const alone = (effect: () => void, signal: AbortSignal): Promise<void> =>
    line.call(
      () => {
        if (database.writer) throw new ChangeoverError('TARGET_BUSY', 'Somebody feeds this site');
        effect();
        database.flush();
      },
      signal,
      { twice: true },
    );
  const hold = (checkpoint: Checkpoint | undefined, isCopied: boolean): void => {
    const before = { checkpoint: database.checkpoint, isCopied: database.isCopied };
    database.transact([], [], () => {
      Object.assign(database, { checkpoint, isCopied });
      return () => Object.assign(database, before);
    });
  };
  return {
    observe: (signal) =>
      line.call(() => {
        const { checkpoint, writer, drifted } = database;
        return { checkpoint, writing: writer !== undefined, drifted, setAside: [] };
      }, signal),
    adopt: (checkpoint, signal) =>
      alone(() => {
        const { checkpoint: there } = database;
        if (there?.stream === checkpoint.stream && there.offset >= checkpoint.offset) return;
        hold(checkpoint, true);
      }, signal),
    resign: (signal) => alone(() => hold(undefined, false), signal),
    forget: notSimulated,
    check: notSimulated,
    view: notSimulated,
    setAside: notSimulated,
    async [Symbol.asyncDispose]() {},
  };
}
