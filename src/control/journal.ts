import type { Broker, BrokerReader } from '../broker/broker.ts';
import type { Batch } from '../change/change.ts';
import type { ControlEvent } from '../change/control.ts';
import { type Epoch, epoch, type Offset, offset, type Position } from '../change/position.ts';
import { assert, ChangeoverError } from '../error.ts';
import { keepStanding, keptStanding } from './standing.ts';
import { evolve, firstStanding, type Standing, standingOf } from './state.ts';

export interface JournalOptions {
  /** The one writer of the log: whoever has it is the coordinator. */
  readonly broker: Broker;
  readonly openReader: (signal: AbortSignal) => Promise<BrokerReader>;
  /** The data folder. */
  readonly folder: string;
  /** Who leads where nothing was ever journalled. */
  readonly leader: string;
}

/** Reads who leads. Throws CONTROL_LEADER_UNKNOWN where the log has forgotten it. */
export async function openJournal(options: JournalOptions, signal: AbortSignal): Promise<Journal> {
  const { standing, next } = await recovered(options, signal);
  const journal = new Journal(options, { standing, next });
  await journal.keep();
  return journal;
}

interface Recovered {
  readonly standing: Standing;
  readonly next: Offset;
}

async function recovered(
  { broker, openReader, folder, leader }: JournalOptions,
  signal: AbortSignal,
): Promise<Recovered> {
  const kept = await keptStanding(folder);
  // A new log in the place of one that was given up: whoever led goes on leading, and is copied to the others.
  if (await broker.isEmpty()) return { standing: firstStanding(kept?.standing.leader ?? leader), next: offset(0) };
  const isOurs = kept?.stream === broker.stream;
  let standing = isOurs ? kept.standing : undefined;
  await using reader = await openReader(signal);
  const held = await reader.observe();
  for (let at = Math.max(held.first, isOurs ? kept.next : 0); at < held.next; ) {
    for await (const entry of reader.read(offset(at), signal)) {
      for (const change of entry.batch.changes) {
        if (change.kind !== 'control') continue;
        const place = entry.batch.end && { offset: entry.offset, position: entry.batch.end };
        standing = standing ? evolve(standing, change.event, place) : standingOf(change.event, place);
      }
      at = entry.offset + 1;
      if (at >= held.next) break;
    }
    signal.throwIfAborted();
  }
  standing ??= held.epoch === undefined || held.epoch === 1 ? firstStanding(leader) : undefined;
  if (standing && standing.epoch === (held.epoch ?? 1)) return { standing, next: held.next };
  throw new ChangeoverError(
    'CONTROL_LEADER_UNKNOWN',
    `The log is of epoch ${held.epoch}, and neither it nor ${folder} says who leads in it`,
  );
}

/** The log as capture and control share it: batches and entries of the journal one after the other, never an entry amid the pieces of
 *  one transaction, and nothing behind a seal. */
export class Journal {
  readonly #options: JournalOptions;
  #standing: Standing;
  #next: Offset;
  #turn: Promise<unknown> = Promise.resolve();
  /** Pieces are in the log, and their writer is at work on the rest. */
  #isInPieces = false;
  #moved = Promise.withResolvers<void>();
  #lastRows: Position | undefined;
  #hasOpenRows = false;

  constructor(options: JournalOptions, { standing, next }: Recovered) {
    this.#options = options;
    this.#standing = standing;
    this.#next = next;
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** The commit of the last transaction with rows that capture appended since this began. */
  get lastRows(): Position | undefined {
    return this.#lastRows;
  }

  tail(): Promise<Position | undefined> {
    return this.#options.broker.tail();
  }

  get stream(): string {
    return this.#options.broker.stream;
  }

  /** The first entry that is not in the log yet. */
  get next(): Offset {
    return this.#next;
  }

  /** Appends an entry, and resolves once it is durable; `end`: where the stream goes on behind it, if elsewhere than before. Throws what
   *  `append` throws, and then nobody knows whether it is there: the journal must be opened anew. */
  async record(event: ControlEvent, { end }: { readonly end?: Position } = {}, signal?: AbortSignal): Promise<void> {
    for (;;) {
      signal?.throwIfAborted();
      const isRecorded = await this.#inTurn(async () => {
        if (this.#isInPieces) return false;
        const after = await this.#options.broker.tail();
        assert(after !== undefined, 'An entry of the journal amid a first copy');
        const owner = event.kind === 'promoted' ? epoch(event.epoch) : this.#standing.epoch;
        const position = end ?? after;
        const batch = { after, starts: true, changes: [{ kind: 'control', event } as const], end: position };
        const at = await this.#append(owner, batch);
        this.#standing = evolve(this.#standing, event, { offset: at, position });
        return true;
      });
      if (isRecorded) break;
      await this.#moved.promise;
    }
    await this.keep();
  }

  /** Writes down how far the log is read. */
  async keep(): Promise<void> {
    const { folder, broker } = this.#options;
    await this.#inTurn(() =>
      keepStanding(folder, { stream: broker.stream, next: this.#next, standing: this.#standing }),
    );
  }

  /** The log as capture sees it. One at a time; disposing it leaves the log open, and gives a transaction up that it left in pieces. */
  writer(): Broker {
    const { broker } = this.#options;
    this.#hasOpenRows = false;
    return {
      stream: broker.stream,
      append: (owner, batch) =>
        this.#inTurn(async () => {
          this.#proveUnsealed(owner);
          const at = await this.#append(owner, batch);
          this.#isInPieces = batch.end === undefined;
          this.#note(batch);
          return at;
        }),
      tail: () => broker.tail(),
      isEmpty: () => broker.isEmpty(),
      [Symbol.asyncDispose]: async () => {
        await this.#inTurn(async () => {
          this.#isInPieces = false;
        });
        this.#tell();
      },
    };
  }

  /** Invariant 8: what comes behind the seal was not there when the end was proved. */
  #proveUnsealed(owner: Epoch): void {
    const { move } = this.#standing;
    if (move?.stage !== 'sealed' && move?.stage !== 'proved') return;
    throw new ChangeoverError('EPOCH_FENCED', `Epoch ${owner} is sealed for a ${move.what} to ${move.to}`);
  }

  async #append(owner: Epoch, batch: Batch): Promise<Offset> {
    const at = await this.#options.broker.append(owner, batch);
    this.#next = offset(at + 1);
    this.#tell();
    return at;
  }

  #note({ changes }: Batch): void {
    for (const change of changes) {
      if (change.kind === 'commit') {
        if (this.#hasOpenRows) this.#lastRows = change.position;
        this.#hasOpenRows = false;
      } else if (change.kind !== 'message') this.#hasOpenRows = true;
    }
  }

  #tell(): void {
    this.#moved.resolve();
    this.#moved = Promise.withResolvers();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
