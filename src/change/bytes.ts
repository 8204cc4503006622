import { assert, ChangeoverError } from '../error.ts';

/** Rows of few columns are shorter than this. */
const smallBytes = 256;

/** Grows by doubling: one allocation in the common case, since the first guess comes from the rows themselves. */
export class Writer {
  #bytes: Buffer;
  #at = 0;

  constructor(bytesGuess: number) {
    this.#bytes = Buffer.allocUnsafe(bytesGuess);
  }

  #room(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, at + length));
      this.#bytes.copy(larger, 0, 0, at);
      this.#bytes = larger;
    }
    this.#at = at + length;
    return at;
  }

  u8(value: number): void {
    const at = this.#room(1);
    this.#bytes[at] = value;
  }

  u16(value: number): void {
    const at = this.#room(2);
    this.#bytes.writeUInt16BE(value, at);
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#bytes.writeUInt32BE(value, at);
  }

  u64(value: bigint): void {
    const at = this.#room(8);
    this.#bytes.writeBigInt64BE(BigInt.asIntN(64, value), at);
  }

  raw(value: Buffer): void {
    const at = this.#room(value.length);
    this.#bytes.set(value, at);
  }

  bytes(value: Buffer): void {
    this.u32(value.length);
    this.raw(value);
  }

  /** As `bytes`, of what lies there from `from` to `to`. */
  slice(source: Buffer, from: number, to: number): void {
    const length = to - from;
    this.u32(length);
    const at = this.#room(length);
    const bytes = this.#bytes;
    // To call anybody for so little costs more than this does.
    if (length <= smallBytes) for (let n = 0; n < length; n += 1) bytes[at + n] = source[from + n] ?? 0;
    else source.copy(bytes, at, from, to);
  }

  text(value: string): void {
    const length = Buffer.byteLength(value);
    assert(length <= 0xffff, `Text of ${length} bytes where at most 65535 fit`);
    this.u16(length);
    const at = this.#room(length);
    this.#bytes.write(value, at, length, 'utf8');
  }

  /** Bytes that it holds for what is written. */
  get room(): number {
    return this.#bytes.length;
  }

  get length(): number {
    return this.#at;
  }

  end(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  /** Lets go of the first so many bytes: what follows them moves to their place. */
  forget(length: number): void {
    this.#bytes.copyWithin(0, length, this.#at);
    this.#at -= length;
  }
}

export class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Where the next thing begins. */
  get at(): number {
    return this.#at;
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }

  #step(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) throw unreadable(`needs ${length} bytes at ${at}, has ${this.#bytes.length}`);
    this.#at = at + length;
    return at;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#step(1));
  }

  u16(): number {
    return this.#bytes.readUInt16BE(this.#step(2));
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#step(4));
  }

  u64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#step(8));
  }

  i64(): bigint {
    return this.#bytes.readBigInt64BE(this.#step(8));
  }

  raw(length: number): Buffer {
    const at = this.#step(length);
    return this.#bytes.subarray(at, at + length);
  }

  bytes(): Buffer {
    return this.raw(this.u32());
  }

  text(): string {
    const length = this.u16();
    const at = this.#step(length);
    return this.#bytes.toString('utf8', at, at + length);
  }
}

export const unreadable = (why: string): ChangeoverError =>
  new ChangeoverError('BROKER_CORRUPT', `A batch cannot be decoded: ${why}`);
