import type { Broker, BrokerReader } from '../broker/broker.ts';
import type { Change } from '../change/change.ts';
import { type Epoch, isBefore, type Offset, offset, type Position } from '../change/position.ts';
import { stillSealed } from '../change/sealed.ts';
import { assert, ChangeoverError, unreachable } from '../error.ts';
import type { Source } from '../source/source.ts';

/** A transaction that a stranded site committed behind the end of its epoch. */
export interface Orphan {
  readonly transaction: bigint;
  readonly position: Position;
  readonly committedAtUs: bigint;
  readonly changes: readonly Change[];
}

/** Where the epoch before the one that began at `beginning` ended. Throws BROKER_GAP where the log has forgotten it. */
export async function endBefore(reader: BrokerReader, beginning: Offset, signal: AbortSignal): Promise<Position> {
  for await (const { batch } of reader.read(beginning, signal)) {
    assert(
      batch.changes.some((change) => change.kind === 'control' && change.event.kind === 'promoted'),
      `Entry ${beginning} begins no epoch`,
    );
    if (batch.after) return batch.after;
    break;
  }
  signal.throwIfAborted();
  throw new ChangeoverError('BROKER_GAP', `Entry ${beginning} does not say where the epoch before it ended`);
}

export interface Collecting {
  readonly source: Source;
  readonly ledger: Broker;
  /** The epoch that ended, and where. */
  readonly epoch: Epoch;
  readonly from: Position;
  /** A mark at the source, made once nobody wrote there any more. */
  readonly upTo: Position;
}

/** Carries into the ledger what was committed behind `from`, and notes at `upTo` that this is all. Goes on where an earlier try was cut
 *  off. Acknowledges nothing: the source keeps what it has until it is rewound or given up. */
export async function collect({ source, ledger, epoch, from, upTo }: Collecting, signal: AbortSignal): Promise<void> {
  let after = (await ledger.tail()) ?? from;
  if (isBefore(after, upTo)) {
    for await (const batch of source.read(after, signal)) {
      await ledger.append(epoch, batch);
      if (!batch.end) continue;
      after = batch.end;
      if (!isBefore(after, upTo)) break;
    }
  }
  signal.throwIfAborted();
  assert(!isBefore(after, upTo), `The source ended at ${after.token}, before ${upTo.token}`);
  await ledger.append(epoch, { after, starts: true, changes: [wholeNote], end: after });
}

/** What a ledger holds, as it stands when asked. */
export async function* orphansIn(reader: BrokerReader, signal: AbortSignal): AsyncGenerator<Orphan> {
  const { first, next } = await reader.observe();
  if (next === first) return;
  let changes: Change[] = [];
  for await (const { offset: at, batch } of reader.read(first, signal)) {
    // Pieces whose rest never came: the transaction comes again from its beginning.
    if (batch.starts) changes = [];
    for (const change of batch.changes) {
      if (change.kind === 'commit') {
        const { transaction, position, committedAtUs } = change;
        if (changes.length > 0) yield { transaction, position, committedAtUs, changes };
        changes = [];
      } else if (isOfTheBusiness(change)) changes.push(change);
    }
    if (at + 1 >= next) return;
  }
  signal.throwIfAborted();
}

/** Whether the ledger has all that its site had when it was last read, and not only what came before a try was cut off. */
export async function isWhole(reader: BrokerReader, signal: AbortSignal): Promise<boolean> {
  const { first, next } = await reader.observe();
  if (next === first) return false;
  for await (const { batch } of reader.read(offset(next - 1), signal))
    return batch.changes.some(
      (change) =>
        change.kind === 'message' && change.prefix === wholeNote.prefix && change.content.equals(wholeNote.content),
    );
  signal.throwIfAborted();
  return false;
}

const wholeNote = { kind: 'message', prefix: 'changeover orphans', content: Buffer.from('whole') } as const;

/** The fence makes a table of its own, and a change of rights is told whatever it is on. */
const fencing = /^[^;]* on changeover\.fence from public$/i;

/** Heartbeats, marks, samples and answers are ours, and go with the site. */
function isOfTheBusiness(change: Exclude<Change, { readonly kind: 'commit' }>): boolean {
  switch (change.kind) {
    case 'insert':
    case 'update':
    case 'delete':
    case 'truncate':
      return true;
    case 'ddl':
      return !fencing.test(change.statement);
    case 'message':
      return !/^changeover( |$)/.test(change.prefix);
    case 'snapshot':
    case 'schema':
    case 'rows':
    case 'sequences':
    case 'clear':
    case 'control':
      return false;
    case 'sealed':
      throw stillSealed();
    default:
      return unreachable(change);
  }
}
