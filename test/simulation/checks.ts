import type { Entry } from '../../src/broker/broker.ts';
import type { ControlEvent } from '../../src/change/control.ts';
import { isSame, type Position } from '../../src/change/position.ts';
import { unreachable } from '../../src/error.ts';
import type { Checkpoint } from '../../src/target/target.ts';
import type { Database } from './database.ts';

export interface Violation {
  /** As ARCHITECTURE.md numbers it. 0: what was asked for never comes to an end. */
  readonly invariant: number;
  readonly message: string;
}

/** A commit that a client was told of. */
interface Told {
  readonly site: string;
  readonly committedAtMs: number;
}

export interface ChecksOptions {
  readonly databases: ReadonlyMap<string, Database>;
  readonly leader: string;
  readonly trace: (line: string) => void;
  /** When the machine's clock last showed this. */
  readonly readAt: (wallMs: number) => number | undefined;
}

interface Moving {
  readonly what: string;
  readonly from: string;
  readonly to: string;
  readonly askedAtMs: number;
  readonly boundMs: number | undefined;
  readonly stage: ControlEvent['kind'];
}

/** What must hold of a simulated world, looked at from outside whenever something happens in it. Knows nothing of how the loops work: only
 *  what is durable in the log, what is in the databases, and what clients were told. */
export class Checks {
  violation: Violation | undefined;
  readonly #options: ChecksOptions;
  /** Of the log, as far as it was durable. */
  #next = 0;
  #epoch = 1;
  end: Position | undefined;
  leader: string;
  readonly stranded = new Set<string>();
  readonly #leaders = new Map<number, string>();
  move: Moving | undefined;
  /** By the number of its receipt. */
  readonly #told = new Map<bigint, Told>();
  readonly #drawn = new Map<bigint, string>();
  #drawnMax = 0n;
  /** For whoever strikes just then. */
  onJournalled: (kind: ControlEvent['kind']) => void = () => undefined;
  /** How often each thing happened: a simulation in which nothing does proves nothing. */
  readonly counts = new Map<string, number>();

  constructor(options: ChecksOptions) {
    this.#options = options;
    this.leader = options.leader;
    this.#leaders.set(1, options.leader);
  }

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }

  fail(invariant: number, message: string): void {
    this.violation ??= { invariant, message };
  }

  /** An entry is told to be durable. */
  logged({ offset, epoch, batch }: Entry): void {
    if (offset !== this.#next) this.fail(1, `Entry ${offset} became durable where ${this.#next} was due`);
    this.#next = offset + 1;
    if (epoch < this.#epoch) this.fail(7, `Entry ${offset} is of epoch ${epoch} behind one of ${this.#epoch}`);
    const isFirstCopy = batch.after === undefined;
    if (!isFirstCopy && !isSame(batch.after, this.end))
      this.fail(5, `Entry ${offset} follows ${batch.after?.token}, the log ended at ${this.end?.token}`);
    for (const change of batch.changes) if (change.kind === 'control') this.#journalled(change.event, epoch);
    if (epoch !== this.#epoch) this.fail(7, `Entry ${offset} is of epoch ${epoch}, and ${this.#epoch} leads`);
    this.end = batch.end ?? this.end;
    if (batch.end && batch.end.origin !== this.#database(this.leader).origin)
      this.fail(7, `Entry ${offset} ends at ${batch.end.token} while ${this.leader} leads`);
  }

  #journalled(event: ControlEvent, epoch: number): void {
    this.#options.trace(`log: ${event.kind} ${'id' in event ? event.id : ''} (epoch ${epoch})`);
    this.count(event.kind);
    this.onJournalled(event.kind);
    const { move } = this;
    switch (event.kind) {
      case 'sampled':
      case 'refused':
        return;
      case 'asked': {
        const { what, from, to, loss, atMs } = event;
        const askedAtMs = this.#options.readAt(atMs) ?? 0;
        this.move = { what, from, to, askedAtMs, boundMs: loss?.boundMs, stage: 'asked' };
        return;
      }
      case 'promoted':
        if (move?.stage !== 'proved') this.fail(9, `Promoted a move that was ${move?.stage}`);
        this.#promoted(event.from, event.leader, event.what);
        this.#epoch = event.epoch;
        this.leader = event.leader;
        this.#leaders.set(event.epoch, event.leader);
        this.count(`promoted by ${event.what}`);
        break;
      case 'cancelling':
        if (move && ['promoted', 'opened'].includes(move.stage))
          this.fail(9, `Cancelled a move that was ${move.stage}`);
        break;
      case 'cancelled':
      case 'finished':
        this.move = undefined;
        return;
      case 'armed':
      case 'fenced':
      case 'sealed':
      case 'proved':
      case 'opened':
        break;
      default:
        unreachable(event);
    }
    this.move = move && { ...move, stage: event.kind };
  }

  /** Whoever was told of a commit finds it at the new primary; where a failover lost it, it is one that was said to be in danger. */
  #promoted(from: string, to: string, what: string): void {
    const { rows } = this.#database(to);
    const boundMs = this.move?.boundMs;
    const safeMs = boundMs === undefined ? -1 : (this.move?.askedAtMs ?? 0) - boundMs;
    for (const [receipt, { committedAtMs }] of this.#told) {
      if (rows.has(`receipt/${receipt}`)) continue;
      const when = `receipt ${receipt}, committed at ${committedAtMs.toFixed(0)} ms`;
      if (what === 'switchover') this.fail(8, `${to} leads without ${when}`);
      else if (committedAtMs < safeMs)
        this.fail(
          10,
          `${to} leads without ${when}; only what came after ${safeMs.toFixed(0)} ms was said to be in danger`,
        );
      this.#told.delete(receipt);
      this.count('lost as announced');
    }
    if (what === 'failover') this.stranded.add(from);
    this.stranded.delete(to);
  }

  /** The source may forget up to here. */
  acknowledged({ name, origin }: Database, position: Position): void {
    if (!this.end || this.end.origin !== origin || this.end.order < position.order)
      this.fail(1, `${name} may forget up to ${position.token}; the log holds it up to ${this.end?.token}`);
  }

  /** A site shows what a commit of apply left. */
  applied(database: Database, { offset, epoch, position }: Checkpoint, writes: number): void {
    const { name } = database;
    if (name === this.leader && writes > 0) this.fail(7, `Rows are applied to ${name}, which leads`);
    if (offset >= this.#next) this.fail(1, `${name} has entry ${offset}, which is not durable`);
    if (this.#leaders.get(epoch) === name)
      this.fail(7, `${name} is fed with an entry of epoch ${epoch}, in which it leads`);
    if (database.drifted > 0) this.fail(4, `${name} had rows that were not as the stream has them`);
    if (position && name !== this.leader) this.equal(database, position);
    this.count('applied');
  }

  /** What it shows is the primary as it was at this position: all of each transaction up to there, and nothing else. */
  equal(database: Database, position: Position): void {
    const origin = [...this.#options.databases.values()].find((one) => one.origin === position.origin);
    const digest = origin?.digestAt(position.order);
    if (digest === undefined)
      this.fail(2, `${database.name} claims to be at ${position.token}, which nobody committed`);
    else if (digest !== database.digest)
      this.fail(2, `${database.name} is not what was committed up to ${position.token}`);
  }

  /** Writers are let in at a site. */
  opened({ name }: Database): void {
    if (this.stranded.has(name)) return;
    if (name !== this.leader) this.fail(9, `${name} was opened, and ${this.leader} leads`);
    const { move } = this;
    if (move?.from === name && ['fenced', 'sealed', 'proved'].includes(move.stage))
      this.fail(8, `${name} was opened amid a move that is ${move.stage}`);
  }

  /** An application committed at a site. */
  committed({ name }: Database): void {
    if (name !== this.leader && !this.stranded.has(name))
      this.fail(8, `An application committed at ${name}, and ${this.leader} leads`);
    this.count('committed');
  }

  told(receipt: bigint, told: Told): void {
    // What is committed at a site that was left behind, is not promised to anybody.
    if (!this.stranded.has(told.site)) this.#told.set(receipt, told);
  }

  drew({ name }: Database, value: bigint): void {
    const before = this.#drawn.get(value);
    if (before !== undefined) this.fail(11, `${name} hands out ${value}, which ${before} had handed out`);
    this.#drawn.set(value, name);
    if (this.stranded.has(name)) return;
    if (value < this.#drawnMax) this.fail(11, `${name} hands out ${value} behind ${this.#drawnMax}`);
    this.#drawnMax = value;
  }

  /** At the end, when all is healed and nothing is asked for any more. Undefined: all is as it should be. */
  unsettled(): string | undefined {
    if (this.end === undefined) return 'there is no whole copy in the log';
    if (this.move) return `a ${this.move.what} to ${this.move.to} is ${this.move.stage}`;
    const leader = this.#database(this.leader);
    if (leader.isShut) return `${this.leader} leads and is shut`;
    for (const database of this.#options.databases.values()) {
      if (database === leader || this.stranded.has(database.name)) continue;
      if (database.checkpoint?.position === undefined) return `${database.name} holds no whole copy`;
      if (database.digest !== leader.digest) return `${database.name} does not become what ${this.leader} is`;
      if (!database.isShut) return `${database.name} follows and is open`;
      if (database.slot) return `${database.name} follows and keeps its log for nobody`;
    }
    return undefined;
  }

  /** Behind that: every commit that a client was told of, and that was not said to be in danger, is where the lead is. */
  settled(): void {
    const { rows } = this.#database(this.leader);
    for (const [receipt, { site }] of this.#told)
      if (!rows.has(`receipt/${receipt}`)) this.fail(8, `Receipt ${receipt} of ${site} is not at ${this.leader}`);
  }

  #database(name: string): Database {
    const database = this.#options.databases.get(name);
    if (!database) throw new RangeError(`No site ${name}`);
    return database;
  }
}
