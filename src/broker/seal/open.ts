import { createDecipheriv } from 'node:crypto';
import type { Batch } from '../../change/change.ts';
import { decodeBatch } from '../../change/codec.ts';
import { isSame } from '../../change/position.ts';
import { envelopeOf } from '../../change/sealed.ts';
import { ChangeoverError, isCode } from '../../error.ts';
import type { Entry } from '../broker.ts';
import { decompress } from './compression.ts';
import type { OpeningKeys } from './data-keys.ts';
import { decodeEnvelope, type Envelope, linkOf, nonceOf } from './envelope.ts';

/** Opens the entries of a stream, one after the other, and proves of each that the writer sealed it, for this stream, at this place, in
 *  this epoch, right behind the one before. */
export class Opener {
  readonly #stream: string;
  readonly #keys: OpeningKeys;
  /** The link of the entry before. Undefined at first: what that was may have been trimmed. */
  #before: Buffer | undefined;

  constructor(stream: string, keys: OpeningKeys) {
    this.#stream = stream;
    this.#keys = keys;
  }

  /** Throws BROKER_TAMPERED, BROKER_NOT_SEALED, BROKER_KEY_MISSING, what the ring throws. Then nothing behind it may be opened. */
  async open(entry: Entry, signal: AbortSignal): Promise<Entry & { readonly seal: SealOfEntry }> {
    const bytes = envelopeOf(entry.batch);
    if (!bytes) throw new ChangeoverError('BROKER_NOT_SEALED', `${named(entry)} is not sealed`);
    const envelope = decodedEnvelope(entry, bytes);
    const why = this.#misfit(entry, envelope);
    if (why !== undefined) throw tampered(entry, why);
    const compressed = opened(entry, envelope, await this.#dataKey(entry, envelope, signal));
    const batch = decodeBatch(await decompress(compressed));
    if (!isSameOutside(batch, entry.batch)) throw tampered(entry, 'the positions beside it are not those within');
    const { previous } = envelope.head;
    const link = linkOf(bytes);
    this.#before = link;
    return { ...entry, batch, seal: { previous, link } };
  }

  /** Why the head does not belong here. Said before the seal is tried, so that what was moved is named as such. */
  #misfit({ offset, epoch }: Entry, { head }: Envelope): string | undefined {
    if (head.stream !== this.#stream) return `it was sealed for stream ${head.stream}, this is ${this.#stream}`;
    if (head.offset < offset) return `it was sealed as entry ${head.offset}, and is played again`;
    if (head.offset > offset) return `it was sealed as entry ${head.offset}; what was before it is missing`;
    if (head.epoch !== epoch) return `it was sealed in epoch ${head.epoch}, not ${epoch}`;
    if (this.#before && !this.#before.equals(head.previous)) return 'it does not follow the entry before it';
    return undefined;
  }

  async #dataKey(entry: Entry, { head }: Envelope, signal: AbortSignal): Promise<Buffer> {
    try {
      return await this.#keys.of(head.wrapped, signal);
    } catch (error) {
      if (!(error instanceof ChangeoverError)) throw error;
      const { code, message, hint } = error;
      throw new ChangeoverError(code, `${named(entry)} cannot be opened: ${message}`, { hint, cause: error });
    }
  }
}

/** Ties an opened entry to the one before it. */
export interface SealOfEntry {
  readonly previous: Buffer;
  readonly link: Buffer;
}

const named = ({ offset }: Entry): string => `Entry ${offset}`;

const tampered = (entry: Entry, why: string, cause?: unknown): ChangeoverError =>
  new ChangeoverError('BROKER_TAMPERED', `${named(entry)} is not as it was sealed: ${why}`, { cause });

function decodedEnvelope(entry: Entry, bytes: Buffer): Envelope {
  try {
    return decodeEnvelope(bytes);
  } catch (error) {
    if (isCode(error, 'BROKER_CORRUPT')) throw tampered(entry, 'its envelope cannot be read', error);
    throw error;
  }
}

/** Throws BROKER_TAMPERED unless every byte of the envelope is as it was. */
function opened(entry: Entry, { head, headBytes, sealed, tag }: Envelope, key: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(head.count), { authTagLength: tag.length });
  decipher.setAAD(headBytes);
  decipher.setAuthTag(tag);
  const plain = decipher.update(sealed);
  try {
    decipher.final();
  } catch (error) {
    throw tampered(entry, 'its bytes do not match its seal', error);
  }
  return plain;
}

/** What the broker was shown of it is what it is. */
const isSameOutside = (within: Batch, outside: Batch): boolean =>
  within.starts === outside.starts && isSame(within.after, outside.after) && isSame(within.end, outside.end);
