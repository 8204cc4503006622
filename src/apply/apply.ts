import { setImmediate } from 'node:timers/promises';
import type { BrokerReader, Entry } from '../broker/broker.ts';
import { answerIn } from '../change/ask.ts';
import { committedAtUs } from '../change/change.ts';
import { bytesOf } from '../change/codec.ts';
import { isAlone } from '../change/join.ts';
import { isSame, nextOffset, type Offset, offset } from '../change/position.ts';
import { assert, ChangeoverError, isCode } from '../error.ts';
import { pumped } from '../flow/pumped.ts';
import type { Checkpoint, Target, TargetTransaction } from '../target/target.ts';
import { publish } from '../telemetry.ts';
import type { Step } from './coalesce.ts';
import { opensSnapshot, type Part, prepare } from './lot.ts';

/** What is folded into one target transaction: large enough that its commit and its statements cost little per row, small enough
 *  that the originals, kept for the way back, fit beside the next lot. */
const lotBytesMax = 6 * 1024 * 1024;
const aheadBytesMax = lotBytesMax;

const releaseMsDefault = 5000;

export interface ApplyOptions {
  readonly broker: BrokerReader;
  readonly target: Target;
  /** Names us among the broker's consumers. */
  readonly consumer: string;
  /** Called after each commit in the target. */
  readonly progressed: () => void;
  /** How often what is applied is made durable in the target and released in the broker. Default 5 s: rare enough to cost nothing. */
  readonly releaseMs?: number;
}

/** Carries the broker's entries into the target, until `signal` aborts or something fails. Keeps no state: the target's checkpoint
 *  says where to go on, and moves in the same transaction as the rows (invariant 4). */
export async function apply(options: ApplyOptions, signal: AbortSignal): Promise<void> {
  const { broker, target, releaseMs = releaseMsDefault } = options;
  const checkpoint = await target.checkpoint(signal);
  if (checkpoint && checkpoint.stream !== broker.stream) {
    throw new ChangeoverError(
      'BROKER_FOREIGN',
      `The secondary was fed from log ${checkpoint.stream}, this is ${broker.stream}`,
    );
  }
  const lane = new Lane(options, checkpoint);
  await using _open = { [Symbol.asyncDispose]: () => lane.abandon() };
  const from = checkpoint ? nextOffset(checkpoint.offset) : offset(0);
  // Three stages at the same time: reading and decoding, folding the next lot, writing the present one.
  const lotsOf = (both: AbortSignal): AsyncIterable<readonly Entry[]> =>
    pumped<Entry>(
      {
        async produce(give, inner) {
          for await (const entry of broker.read(from, inner)) await give(entry, entryBytes(entry));
        },
        bytesMax: aheadBytesMax,
        takeBytesMax: lotBytesMax,
      },
      both,
    );
  const prepared = pumped<readonly Part[]>(
    {
      // Reading stops with whoever folds, and so with whoever writes: a log in which nothing comes holds nobody up.
      async produce(give, both) {
        for await (const lot of lotsOf(both)) {
          // The lot before is sent first: the target works at it while this one is folded.
          await setImmediate();
          const parts = prepare(lot);
          for (const step of parts.flatMap(({ steps }) => steps)) if (step.order === 'net') target.prepare(step.net);
          await give(parts, 1);
        }
      },
      // One lot ready, whatever its size: more would only make each of them smaller.
      bytesMax: 1,
      takeBytesMax: 1,
      restMs: releaseMs,
    },
    signal,
  );
  for await (const [parts] of prepared) {
    if (parts) await lane.apply(parts, signal);
    await lane.release();
  }
}

/** What a decoded change takes beside its bytes: two objects and its places in lists and maps. Small rows weigh less than that. Of one
 *  that is never made an object of, just the places. */
const changeOverheadBytes = 160;
const packedOverheadBytes = 48;

const entryBytes = ({ batch }: Entry): number =>
  batch.packed
    ? 200 + batch.packed.bytes.length + batch.packed.count * packedOverheadBytes
    : batch.changes.reduce((sum, change) => sum + changeOverheadBytes + bytesOf(change), 200);

/** What a lane is in the middle of. `steady`: between transactions. `copying`: in a snapshot, whose pieces become visible one by
 *  one. `pieces`: in a transaction too big to hold, whose pieces wait in an open target transaction (invariant 3). */
type Stage =
  | { readonly kind: 'steady' }
  | { readonly kind: 'copying' }
  | { readonly kind: 'pieces'; readonly transaction: TargetTransaction };

class Lane {
  readonly #options: ApplyOptions;
  #checkpoint: Checkpoint | undefined;
  #stage: Stage;
  #next: Offset;
  #releasedAtMs = performance.now();
  /** What had been applied then. */
  #released: Offset | undefined;

  constructor(options: ApplyOptions, checkpoint: Checkpoint | undefined) {
    this.#options = options;
    this.#checkpoint = checkpoint;
    this.#stage = { kind: checkpoint?.position ? 'steady' : 'copying' };
    this.#next = checkpoint ? nextOffset(checkpoint.offset) : offset(0);
  }

  /** Applies parts that follow one another. */
  async apply(parts: readonly Part[], signal: AbortSignal): Promise<void> {
    for (const part of parts) {
      if (part.kind === 'whole') await this.#applyWhole(part, signal);
      else await this.#applyPiece(part, signal);
    }
  }

  /** Rolls back what is open. */
  async abandon(): Promise<void> {
    if (this.#stage.kind === 'pieces') await this.#stage.transaction[Symbol.asyncDispose]();
    this.#stage = { kind: 'steady' };
  }

  /** Invariant 5: entries follow one another by offset, and positions chain. */
  #prove(entries: readonly Entry[]): Entry {
    let before = this.#checkpoint && { epoch: this.#checkpoint.epoch, end: this.#checkpoint.position };
    for (const { offset: at, epoch, batch } of entries) {
      if (at !== this.#next) throw new ChangeoverError('BROKER_GAP', `Entry ${at} came where ${this.#next} was due`);
      this.#next = nextOffset(at);
      if (before && epoch < before.epoch) {
        throw new ChangeoverError('EPOCH_FENCED', `Entry ${at} is of epoch ${epoch}, after one of ${before.epoch}`);
      }
      if (this.#stage.kind !== 'copying' && !opensSnapshot({ batch }) && !isSame(batch.after, before?.end)) {
        throw new ChangeoverError(
          'APPLY_CHAIN_BROKEN',
          `Entry ${at} follows ${batch.after?.token ?? 'nothing'}, but ${before?.end?.token ?? 'nothing'} came before it`,
        );
      }
      this.#proveFollows(batch);
      // The pieces of a run all follow what came before it.
      before = { epoch, end: batch.end ?? before?.end };
    }
    const last = entries.at(-1);
    assert(last !== undefined, 'A part without entries');
    return last;
  }

  /** Invariant 7: from the entry on that gives the lead to this very site, the stream holds what is committed here. Applied, it would
   *  come back to where it came from. */
  #proveFollows(batch: Entry['batch']): void {
    const { consumer } = this.#options;
    if (batch.packed) return;
    for (const change of batch.changes) {
      if (change.kind !== 'control' || change.event.kind !== 'promoted' || change.event.leader !== consumer) continue;
      throw new ChangeoverError(
        'EPOCH_FENCED',
        `${consumer} leads since epoch ${change.event.epoch}; nothing is applied to it`,
      );
    }
  }

  async #applyWhole(part: Part, signal: AbortSignal): Promise<void> {
    const last = this.#prove(part.entries);
    if (this.#stage.kind === 'copying') {
      throw new ChangeoverError('APPLY_CHAIN_BROKEN', `Entry ${last.offset} came before the copy was whole`);
    }
    // A run of pieces that is still open was given up by its writer: a whole transaction follows the same position.
    await this.abandon();
    const checkpoint = this.#checkpointAt(last);
    await using transaction = await this.#options.target.begin(signal);
    await write(transaction, part.steps, last.offset);
    await transaction.commit(checkpoint);
    this.#committed(checkpoint, part);
    await this.#show(part, signal);
  }

  /** Somebody asked what we hold at just this position: the lane stands there for a moment. */
  async #show({ entries }: Part, signal: AbortSignal): Promise<void> {
    for (const { batch } of entries.filter((entry) => isAlone(entry.batch))) {
      for (const change of batch.changes) {
        const answer = answerIn(change);
        if (answer?.answer === 'stand') await this.#options.target.show(answer.id, signal);
      }
    }
  }

  async #applyPiece(part: Part, signal: AbortSignal): Promise<void> {
    const entry = this.#prove(part.entries);
    const { batch } = entry;
    if (opensSnapshot(entry)) {
      await this.abandon();
      this.#stage = { kind: 'copying' };
    }
    if (this.#stage.kind === 'copying') {
      // The opening of a run says nothing yet. A checkpoint for it would claim the target before its tables were looked at.
      if (batch.changes.length === 0 && !batch.end) return;
      const checkpoint = this.#checkpointAt(entry);
      await using transaction = await this.#options.target.begin(signal);
      await write(transaction, part.steps, entry.offset);
      await transaction.commit(checkpoint);
      this.#committed(checkpoint, part);
      if (batch.end) this.#stage = { kind: 'steady' };
      return;
    }
    if (batch.starts) {
      await this.abandon();
      this.#stage = { kind: 'pieces', transaction: await this.#options.target.begin(signal) };
    }
    assert(this.#stage.kind === 'pieces', `Entry ${entry.offset} continues a transaction that never began`);
    const { transaction } = this.#stage;
    await write(transaction, part.steps, entry.offset);
    if (!batch.end) return;
    const checkpoint = this.#checkpointAt(entry);
    await transaction.commit(checkpoint);
    await this.abandon();
    this.#committed(checkpoint, part);
  }

  #checkpointAt({ offset: at, epoch, batch }: Entry): Checkpoint {
    return { stream: this.#options.broker.stream, epoch, offset: at, position: batch.end };
  }

  #committed(checkpoint: Checkpoint, { changes, entries }: Part): void {
    this.#checkpoint = checkpoint;
    const last = entries.at(-1);
    publish('changeover:applied', {
      offset: checkpoint.offset,
      position: checkpoint.position,
      changes,
      committedAtUs: last && committedAtUs(last.batch),
    });
    this.#options.progressed();
  }

  /** The target commits without waiting for its disk, so after its crash a checkpoint can stand earlier than it did: the broker may
   *  trim only what a flush has made durable. Also where nothing follows: who crashed while nobody wrote is noticed by this. */
  async release(): Promise<void> {
    const nowMs = performance.now();
    const { releaseMs = releaseMsDefault } = this.#options;
    if (!this.#checkpoint || this.#stage.kind === 'pieces' || nowMs - this.#releasedAtMs < releaseMs) return;
    this.#releasedAtMs = nowMs;
    if (this.#released === this.#next) return;
    this.#released = this.#next;
    await this.#options.target.flush();
    await this.#options.broker.release(this.#options.consumer, nextOffset(this.#checkpoint.offset));
  }
}

async function write(transaction: TargetTransaction, steps: readonly Step[], at: Offset): Promise<void> {
  for (const step of steps) {
    if (step.order === 'kept') {
      await transaction.write(step.changes);
      continue;
    }
    await transaction.writeNet(step.net).catch(async (error: unknown) => {
      if (!isCode(error, 'TARGET_CONFLICT')) throw error;
      // Folding can trip where the original order does not: a unique value that moves from one row to another.
      const originals = step.originals();
      publish('changeover:unfolded', { offset: at, changes: originals.length });
      await transaction.write(originals);
    });
  }
}
