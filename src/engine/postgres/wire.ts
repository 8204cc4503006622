import type { Socket } from 'node:net';
import { ChangeoverError } from '../../error.ts';
import { type Connection, socketOf } from './connect.ts';
import { failure, refusal, type Side } from './failure.ts';
import { Intake, type IntakeOptions } from './intake.ts';
import { bodyBytesMax, ERROR_RESPONSE, errorFields, Frame, isAside } from './message.ts';

/** A server that vanished without a word never ends a wait by itself: a firewall that forgot the connection, a machine that froze. */
export interface Watch {
  /** How long a wait may last before it is looked at, and again after each look. */
  readonly silenceMsMax: number;
  /** Whether the server is still there for us and may be waited for. Must not throw, and must end by itself. */
  readonly isAlive: () => Promise<boolean>;
}

/** Of a frame: its letter and its length. */
const headBytes = 5;
const nothing = Buffer.alloc(0);

/** The socket of a logged-in connection, spoken to in frames: for COPY, replication and pipelines, where a driver's object per row
 *  and copy per value would cost more than the database. Pull-driven: what is not taken stays in the kernel's buffers, and the
 *  server waits. Cutting the connection (its signal, or dispose) ends every wait. */
export class Wire {
  readonly side: Side;
  readonly #socket: Socket;
  readonly #intake: Intake;
  readonly #watch: Watch | undefined;
  /** The beginning of a frame of which not even the length has come. */
  #rest: Buffer = nothing;
  /** What has come of a frame, and how much of it has not. */
  #parts: Buffer[] = [];
  #missing = 0;
  #wasSilent = false;

  /** Takes the connection over for good: its `rows()` must not be called any more. Only while no query runs on it. */
  constructor(connection: Connection, watch?: Watch, options: IntakeOptions = { gathers: false }) {
    this.#watch = watch;
    this.side = connection.side;
    this.#socket = socketOf(connection.client);
    this.#socket.setNoDelay(true);
    this.#intake = new Intake(this.#socket, options);
  }

  /** Sends bytes; resolves at once while the kernel takes them, else when it has. */
  async send(bytes: Buffer): Promise<void> {
    if (this.#socket.write(bytes)) return;
    await this.#drained();
  }

  /** Sends without waiting, for a few bytes that nobody may be blocked by, such as a status update. */
  post(bytes: Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  /** How long a torrent is left to gather between two takes, in milliseconds. */
  pace(pauseMs: number): void {
    this.#intake.pauseMs = pauseMs;
  }

  /** Every frame that has come, at least one; asides left out. Throws _UNREACHABLE when the connection is gone. */
  async take(): Promise<readonly Frame[]> {
    for (;;) {
      const chunk = await this.#watched(this.#intake.next()).catch((error: unknown) => {
        throw this.#silence() ?? failure(this.side, error, 'Reading from the server');
      });
      if (!chunk)
        throw this.#silence() ?? new ChangeoverError(`${this.side}_UNREACHABLE`, 'The server closed the connection');
      const frames = this.#split(chunk);
      if (frames.length > 0) return frames;
    }
  }

  /** Makes the error of an ErrorResponse. */
  error(body: Buffer, doing: string): ChangeoverError {
    const fields = errorFields(body);
    const [schema, name] = [fields.get('s'), fields.get('t')];
    const table = schema === undefined || name === undefined ? undefined : { schema, name };
    return refusal(this.side, { state: fields.get('C') ?? '', message: fields.get('M') ?? '', doing, table });
  }

  /** The same frames; throws an ErrorResponse that is among them. */
  checked(frames: readonly Frame[], doing: string): readonly Frame[] {
    const refused = frames.find(({ type }) => type === ERROR_RESPONSE);
    if (refused) throw this.error(refused.body, doing);
    return frames;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #drained(): Promise<void> {
    if (!this.#socket.destroyed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#socket.once('drain', resolve).once('close', resolve);
      await this.#watched(promise);
      this.#socket.off('drain', resolve).off('close', resolve);
    }
    if (this.#socket.destroyed)
      throw this.#silence() ?? new ChangeoverError(`${this.side}_UNREACHABLE`, 'The connection was cut');
  }

  async #watched<T>(wait: Promise<T>): Promise<T> {
    const watch = this.#watch;
    if (!watch) return wait;
    const look = async (): Promise<void> => {
      if (await watch.isAlive()) {
        timer?.refresh();
        return;
      }
      // It may have been answered while we looked.
      if (timer === undefined) return;
      this.#wasSilent = true;
      this.#socket.destroy();
    };
    let timer: NodeJS.Timeout | undefined = setTimeout(() => void look(), watch.silenceMsMax);
    try {
      return await wait;
    } finally {
      clearTimeout(timer);
      timer = undefined;
    }
  }

  #silence(): ChangeoverError | undefined {
    if (!this.#wasSilent) return undefined;
    const seconds = (this.#watch?.silenceMsMax ?? 0) / 1000;
    return new ChangeoverError(`${this.side}_UNREACHABLE`, `Nothing was heard of the server for ${seconds} s`);
  }

  /** A frame that ends in a later chunk is collected in parts and joined once, so that a value of 1 GB is not copied per chunk, nor a chunk for
   *  the frame that it begins with. */
  #split(chunk: Buffer): readonly Frame[] {
    if (this.#missing > chunk.length) {
      this.#parts.push(chunk);
      this.#missing -= chunk.length;
      return [];
    }
    const frames: Frame[] = [];
    let at = 0;
    if (this.#missing > 0) {
      at = this.#missing;
      this.#put(Buffer.concat([...this.#parts, chunk.subarray(0, at)]), 0, frames);
      this.#parts = [];
      this.#missing = 0;
    }
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = Buffer.concat([this.#rest, chunk]);
      this.#rest = nothing;
    }
    while (bytes.length - at >= headBytes) {
      const end = this.#put(bytes, at, frames);
      this.#missing = Math.max(end - bytes.length, 0);
      if (this.#missing > 0) break;
      at = end;
    }
    const left = bytes.subarray(at);
    if (this.#missing > 0) this.#parts = [left];
    else this.#rest = left;
    return frames;
  }

  /** Adds the frame that begins at `at` if all of it is there; gives where it ends. */
  #put(bytes: Buffer, at: number, frames: Frame[]): number {
    const length = bytes.readUInt32BE(at + 1);
    if (length < 4 || length > bodyBytesMax)
      throw new ChangeoverError(`${this.side}_UNREACHABLE`, `The server sent a frame of ${length} bytes`);
    const end = at + 1 + length;
    const type = bytes[at] ?? 0;
    if (end <= bytes.length && !isAside(type)) frames.push(new Frame(type, bytes, at + headBytes, end));
    return end;
  }
}
