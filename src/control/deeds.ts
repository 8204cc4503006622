import { setTimeout as sleep } from 'node:timers/promises';
import type { BrokerReader } from '../broker/broker.ts';
import type { Comparison, ControlEvent } from '../change/control.ts';
import { isBefore, isSame, type Offset, type Position } from '../change/position.ts';
import { assert, ChangeoverError, unreachable } from '../error.ts';
import type { Helm } from '../helm/helm.ts';
import type { Crew, Reach } from './crew.ts';
import type { Journal } from './journal.ts';
import type { Step } from './plan.ts';
import type { Move } from './state.ts';

/** What a step leaves to be journalled; `end`: where the stream goes on behind that entry. */
export interface Deed {
  readonly event: ControlEvent;
  readonly end?: Position;
}

export interface DeedsOptions {
  readonly journal: Journal;
  readonly crew: Crew;
  readonly reach: Reach;
  readonly openReader: (signal: AbortSignal) => Promise<BrokerReader>;
  readonly clock: () => number;
}

const lookMs = 20;
/** Between the two marks: whoever passed the fence just before it fell has committed by then, or is seen to write. */
const drainMs = 50;
/** What is compared while nobody can write must be read in about a second. */
const comparedBytesMax = 32 * 1024 * 1024;
/** How far sequences go beyond the last look at a primary that is gone: more than any application draws in the seconds since. */
const drawnMax = 100_000;

/** The steps of a move, as they are done. Each may be begun again. */
export class Deeds {
  readonly #options: DeedsOptions;

  constructor(options: DeedsOptions) {
    this.#options = options;
  }

  perform(step: Step, signal: AbortSignal): Promise<Deed> {
    const { move } = this.#options.journal.standing;
    assert(move !== undefined, `Nothing is under way that could ${step}`);
    switch (step) {
      case 'arm':
        return this.#arm(move, signal);
      case 'fence':
        return this.#fence(move, signal);
      case 'seal':
        return this.#seal(move, signal);
      case 'prove':
        return this.#prove(move, signal);
      case 'promote':
        return this.#promote(move, signal);
      case 'open':
        return this.#open(move, signal);
      case 'follow':
        return this.#follow(move, signal);
      case 'undo':
        return this.#undo(move, signal);
      default:
        return unreachable(step);
    }
  }

  #told({ id }: Move) {
    return { id, atMs: this.#options.clock() };
  }

  /** The slot is there before the first write, so that none is missing in the stream back. */
  async #arm(move: Move, signal: AbortSignal): Promise<Deed> {
    const { reach } = this.#options;
    this.#proveFed(move);
    await using helm = await reach.helm(move.to, 'secondary');
    await helm.shut(signal);
    await using source = await reach.source(move.to);
    await source.arm(signal);
    return { event: { kind: 'armed', ...this.#told(move) } };
  }

  /** What stopped for good will not come. */
  #proveFed({ to }: Move): void {
    if (!this.#options.crew.isFed(to))
      throw new ChangeoverError('CONTROL_REFUSED', `Nothing is applied to ${to}: that has stopped`);
  }

  async #fence(move: Move, signal: AbortSignal): Promise<Deed> {
    await using helm = await this.#options.reach.helm(move.from, 'primary');
    const { roles, proved, unfenced } = await helm.shut(signal);
    return { event: { kind: 'fenced', ...this.#told(move), roles, proved, unfenced } };
  }

  async #seal(move: Move, signal: AbortSignal): Promise<Deed> {
    const { crew, journal } = this.#options;
    const marks = move.what === 'switchover' ? await this.#mark(move, signal) : undefined;
    await crew.holdCapture();
    const { lastRows } = journal;
    if (marks && lastRows && isBefore(marks.first, lastRows))
      throw new ChangeoverError(
        'CONTROL_FENCE_OPEN',
        `Somebody wrote at ${move.from} behind the fence, up to ${lastRows.token}`,
      );
    const tail = await journal.tail();
    assert(tail !== undefined, 'A move before anything was captured');
    return { event: { kind: 'sealed', ...this.#told(move), position: tail.token } };
  }

  /** Invariant 8: the end goes through the primary's own log, twice, and is in ours; it is not inferred from silence. */
  async #mark(move: Move, signal: AbortSignal): Promise<{ readonly first: Position }> {
    const { reach, journal } = this.#options;
    await using source = await reach.source(move.from);
    const first = await source.mark(signal);
    await sleep(drainMs, undefined, { signal });
    const second = await source.mark(signal);
    for (;;) {
      const tail = await journal.tail();
      if (tail && tail.origin === second.origin && !isBefore(tail, second)) return { first };
      await sleep(lookMs, undefined, { signal });
    }
  }

  async #prove(move: Move, signal: AbortSignal): Promise<Deed> {
    const { reach, crew, journal } = this.#options;
    const tail = await journal.tail();
    await using target = await reach.target(move.to);
    let stood: Offset;
    for (;;) {
      const { checkpoint } = await target.observe(signal);
      if (checkpoint && checkpoint.offset >= journal.next - 1) {
        stood = checkpoint.offset;
        if (isSame(checkpoint.position, tail)) break;
        throw new ChangeoverError('CONTROL_NOT_EQUAL', `${move.to} has applied all of the log and stands elsewhere`);
      }
      this.#proveFed(move);
      await sleep(lookMs, undefined, { signal });
    }
    await crew.holdApply(move.to);
    await this.#proveKept(move, stood, signal);
    await using helm = await reach.helm(move.to, 'secondary');
    if (move.what === 'failover') {
      const { sequences: values } = journal.standing;
      const sequences = await helm.raise({ values, beyond: drawnMax }, signal);
      return { event: { kind: 'proved', ...this.#told(move), comparison: undefined, sequences } };
    }
    await using old = await reach.helm(move.from, 'primary');
    const comparison = await compared({ old, helm, move }, signal);
    const { sequences: values } = await old.sight(signal);
    const sequences = await helm.raise({ values, beyond: 0 }, signal);
    return { event: { kind: 'proved', ...this.#told(move), comparison, sequences } };
  }

  /** Apply commits without waiting for the disk: a crash takes back what was seen there a moment ago. A mark is flushed, and with it all
   *  before; what is there behind it, stays. */
  async #proveKept({ to }: Move, stood: Offset, signal: AbortSignal): Promise<void> {
    const { reach } = this.#options;
    await using source = await reach.source(to);
    await source.mark(signal);
    await using target = await reach.target(to);
    const { checkpoint } = await target.observe(signal);
    if (!checkpoint || checkpoint.offset < stood)
      throw new ChangeoverError('CONTROL_INTERRUPTED', `${to} crashed and lost what was applied there last`);
  }

  /** The stream goes on at a place of the new primary's log that is behind all that was applied there and before all that it will be
   *  told. Its mark is flushed, and with it what apply committed without waiting for the disk. */
  async #promote(move: Move, signal: AbortSignal): Promise<Deed> {
    const { journal, reach } = this.#options;
    await using source = await reach.source(move.to);
    const end = await source.mark(signal);
    const { what, from, to: leader } = move;
    const epoch = journal.standing.epoch + 1;
    return { event: { kind: 'promoted', ...this.#told(move), what, from, leader, epoch }, end };
  }

  async #open(move: Move, signal: AbortSignal): Promise<Deed> {
    await using helm = await this.#options.reach.helm(move.to, 'primary');
    const roles = await helm.open(signal);
    return { event: { kind: 'opened', ...this.#told(move), roles } };
  }

  async #follow(move: Move, signal: AbortSignal): Promise<Deed> {
    const { reach, journal, openReader } = this.#options;
    const { beginning, epoch } = journal.standing;
    if (move.what === 'switchover') {
      assert(beginning !== undefined, 'A lead that moved without a beginning');
      // From here on the log keeps what it needs.
      await using reader = await openReader(signal);
      await reader.release(move.from, beginning.offset);
      await using old = await reach.source(move.from);
      await old.forget(signal);
      await using target = await reach.target(move.from);
      await target.adopt({ stream: journal.stream, epoch, ...beginning }, signal);
    }
    await using led = await reach.target(move.to);
    await led.resign(signal);
    return { event: { kind: 'finished', ...this.#told(move) } };
  }

  /** The secondary stays shut: nobody but us writes there until it leads. After a failover that came to nothing the primary is away. */
  async #undo(move: Move, signal: AbortSignal): Promise<Deed> {
    const { reach } = this.#options;
    if (move.what === 'switchover') {
      await using helm = await reach.helm(move.from, 'primary');
      await helm.open(signal);
    }
    await using source = await reach.source(move.to);
    await source.forget(signal);
    return { event: { kind: 'cancelled', ...this.#told(move) } };
  }
}

/** Invariant 12: smaller tables first, as far as they can be read while everybody waits; the others are named. */
async function compared(
  { old, helm, move }: { readonly old: Helm; readonly helm: Helm; readonly move: Move },
  signal: AbortSignal,
): Promise<Comparison> {
  const sizes = [...(await old.sizes(signal))].toSorted(([, a], [, b]) => a - b);
  let bytes = 0;
  const tables = sizes.filter(([, size]) => (bytes += size) <= comparedBytesMax).map(([name]) => name);
  const [before, after] = await Promise.all([old.digests(tables, signal), helm.digests(tables, signal)]);
  const unequal = tables.filter(
    (name) => before.get(name)?.digest !== after.get(name)?.digest || before.get(name)?.rows !== after.get(name)?.rows,
  );
  if (unequal.length > 0)
    throw new ChangeoverError(
      'CONTROL_NOT_EQUAL',
      `${unequal.join(', ')} at ${move.to} is not what it is at ${move.from}`,
    );
  const rows = [...before.values()].reduce((sum, table) => sum + table.rows, 0);
  const notCompared = sizes.slice(tables.length).map(([name]) => name);
  return { equal: tables.length, rows, notCompared };
}
