import { cellEnd } from '../change/row.ts';

/** What became of a row. `gone`: as if nothing had been. An update holds whatever cells are known; a deleted row that came back is one. */
export type Fate = 'insert' | 'update' | 'delete' | 'gone';

/** The fates of a table's rows by their keys, and each with the row, where it lies: a hash table of places in lists, since a map of texts
 *  and objects cost more than the folding. */
export class Fates {
  readonly kinds: Fate[] = [];
  readonly bytes: Buffer[] = [];
  readonly starts: number[] = [];
  readonly ends: number[] = [];
  readonly #hashes: number[] = [];
  readonly #keyColumns: readonly number[];
  /** Place in the lists plus one; 0 is free. Its length is a power of two, and half of it is free. */
  #slots = new Int32Array(256);

  /** `keyColumns`: ascending, at least one. */
  constructor(keyColumns: readonly number[]) {
    this.#keyColumns = keyColumns;
  }

  /** The place of the row with the key of the row that begins at `start`; the place of a new one that is `gone` where there is none. */
  place(bytes: Buffer, start: number, end: number): number {
    const hash = this.#hash(bytes, start);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (;;) {
      const found = (this.#slots[slot] ?? 0) - 1;
      if (found < 0) break;
      if (this.#hashes[found] === hash && this.#hasKey(found, bytes, start)) return found;
      slot = (slot + 1) & mask;
    }
    const place = this.kinds.length;
    this.#slots[slot] = place + 1;
    this.#hashes.push(hash);
    this.kinds.push('gone');
    this.bytes.push(bytes);
    this.starts.push(start);
    this.ends.push(end);
    if (place * 2 >= mask) this.#grow();
    return place;
  }

  set(place: number, fate: Fate, bytes: Buffer, start: number, end: number): void {
    this.kinds[place] = fate;
    this.bytes[place] = bytes;
    this.starts[place] = start;
    this.ends[place] = end;
  }

  #grow(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (const [place, hash] of this.#hashes.entries()) {
      let slot = hash & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = place + 1;
    }
    this.#slots = slots;
  }

  /** FNV-1a over the key cells with their lengths: equal for equal keys. https://www.rfc-editor.org/rfc/rfc9923 */
  #hash(bytes: Buffer, start: number): number {
    let hash = 0x811c9dc5;
    let at = start + 2;
    let column = 0;
    for (const wanted of this.#keyColumns) {
      for (; column < wanted; column += 1) at = cellEnd(bytes, at);
      const end = cellEnd(bytes, at);
      for (; at < end; at += 1) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
      column += 1;
    }
    // The low bits choose the slot, and depend on the low bits of the bytes alone.
    return hash ^ (hash >>> 15);
  }

  #hasKey(place: number, bytes: Buffer, start: number): boolean {
    const others = this.bytes[place];
    if (!others) return false;
    let at = start + 2;
    let other = (this.starts[place] ?? 0) + 2;
    let column = 0;
    for (const wanted of this.#keyColumns) {
      for (; column < wanted; column += 1) {
        at = cellEnd(bytes, at);
        other = cellEnd(others, other);
      }
      const end = cellEnd(bytes, at);
      if (end - at !== cellEnd(others, other) - other) return false;
      for (; at < end; at += 1, other += 1) if (bytes[at] !== others[other]) return false;
      column += 1;
    }
    return true;
  }
}
