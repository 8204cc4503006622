import type { Offset } from '../change/position.ts';
import { ChangeoverError } from '../error.ts';
import {
  corrupt,
  type EntriesRecord,
  type PackedEntry,
  type Part,
  type StreamRecord,
  type StreamState,
  stateAfter,
} from './record.ts';

/** An entry at its offset, still as bytes. */
export interface SiftedEntry extends PackedEntry {
  readonly offset: Offset;
}

/** What makes one stream of what writers left at a server: it passes over what came from a writer that another one had followed by
 *  then, and over what a retry put there twice; it joins parts; and where something is missing it stops. Every reader that sees the
 *  same records gets the same entries. Pure. */
export class Sieve {
  /** Undefined until an entry, or the beginning of a term, was seen. */
  state: StreamState | undefined;
  stream: string | undefined;
  /** The highest seen: whoever comes with less has been followed. 0: none. */
  term = 0;
  readonly #name: string;
  /** The parts of the entry that is due, in order. `undefined` slices: its first part came before we began. */
  #parts: { slices: Buffer[] | undefined; seen: number } | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  /** The entries that the record completes. Throws BROKER_GAP, BROKER_CORRUPT, BROKER_FOREIGN. */
  take(record: StreamRecord, place: number): readonly SiftedEntry[] {
    if (record.term < this.term) return [];
    if (record.kind === 'claim') {
      // Of two that claimed the same term at the same time the first one has it, and the other one knows it.
      if (record.term === this.term) return [];
      this.term = record.term;
      this.stream ??= record.stream;
      this.#parts = undefined;
      return [];
    }
    if (record.term > this.term) this.#parts = undefined;
    this.term = record.term;
    if (!this.#follows(record, place)) return [];
    return record.kind === 'entries' ? this.#whole(record) : this.#part(record, place);
  }

  /** Takes a record only to learn how far the stream is behind it, without knowing all that came before: the first ones seen may be of a
   *  writer that had been followed, which only those behind them show. */
  warm(record: StreamRecord, place: number): void {
    if (record.term >= this.term && record.kind !== 'claim') this.state = undefined;
    this.take(record, place);
  }

  /** Whether the record is what is due; false for one that came before. */
  #follows({ stream, before }: EntriesRecord | Part, place: number): boolean {
    const { state } = this;
    if (!state) {
      this.stream = stream;
      this.state = before;
      return true;
    }
    if (stream !== this.stream)
      throw new ChangeoverError(
        'BROKER_FOREIGN',
        `${this.#name} turns from stream ${this.stream} into ${stream} at ${place}`,
      );
    if (before.next < state.next) return false;
    if (before.next > state.next)
      throw new ChangeoverError(
        'BROKER_GAP',
        `${this.#name} holds entry ${before.next} where ${state.next} is due, at ${place}`,
      );
    if (before.bytes !== state.bytes || before.epoch !== state.epoch)
      throw corrupt(`${place} of ${this.#name}`, 'it does not follow what is before it');
    return true;
  }

  #whole({ entries }: EntriesRecord): readonly SiftedEntry[] {
    this.#parts = undefined;
    return entries.map((entry) => this.#sift(entry));
  }

  #part(part: Part, place: number): readonly SiftedEntry[] {
    const { index, count, wholeBytes, epoch, end, slice } = part;
    if (index === 0) this.#parts ??= { slices: [], seen: 0 };
    this.#parts ??= { slices: undefined, seen: index };
    const parts = this.#parts;
    // A retry put it there twice.
    if (index < parts.seen) return [];
    if (index > parts.seen)
      throw new ChangeoverError('BROKER_GAP', `${this.#name} lacks part ${parts.seen} of an entry, at ${place}`);
    parts.seen += 1;
    parts.slices?.push(slice);
    if (parts.seen < count) return [];
    this.#parts = undefined;
    if (!parts.slices) {
      if (this.state) this.state = stateAfter(this.state, { epoch, end, bytes: wholeBytes });
      return [];
    }
    const payload = Buffer.concat(parts.slices);
    if (payload.length !== wholeBytes) throw corrupt(`${place} of ${this.#name}`, 'its parts do not make up the whole');
    return [this.#sift({ epoch, end, payload })];
  }

  #sift(entry: PackedEntry): SiftedEntry {
    const { state } = this;
    if (!state) throw corrupt(this.#name, 'an entry without a state');
    if (state.epoch !== undefined && entry.epoch < state.epoch)
      throw corrupt(`entry ${state.next} of ${this.#name}`, `epoch ${entry.epoch} after ${state.epoch}`);
    this.state = stateAfter(state, { epoch: entry.epoch, end: entry.end, bytes: entry.payload.length });
    return { offset: state.next, ...entry };
  }
}
