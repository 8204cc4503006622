import { protocolFailure } from './pgoutput.ts';
import { openSpill, type Spill } from './spill.ts';
import type { Stand } from './standing.ts';
import type { WalMessage } from './wal.ts';

/* A transaction that outgrows the primary's memory (logical_decoding_work_mem) comes before its commit, in blocks that lie amid other
   transactions: Stream Start, messages that each name their transaction or one within it, Stream Stop. In the end comes Stream Commit, or
   Stream Abort, which may also be of one within it only. Here a block waits in a spill, undecoded, until the transaction has its place in
   commit order. So what lies behind sees what it would see without streaming; and a table that was announced in a transaction counts from
   its commit on, which is what the server keeps account of, too. One thing the stream does not say: whether a logical message was sent
   behind a savepoint that was rolled back.
   https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html (Stream Start and others; version 2) */

const ORIGIN = 0x4f; // O
const STREAM_ABORT = 0x41; // A
const STREAM_COMMIT = 0x63; // c
const STREAM_START = 0x53; // S
const STREAM_STOP = 0x45; // E
/** Relation, Type, Insert, Update, Delete, Truncate, Message: what may stand in a block. */
const inBlocks = new Set(Buffer.from('RYIUDTM'));

const isOfStream = ({ bytes, at }: WalMessage): boolean => {
  const letter = bytes[at];
  return letter === STREAM_START || letter === STREAM_STOP || letter === STREAM_COMMIT || letter === STREAM_ABORT;
};

export interface Round {
  readonly messages: readonly WalMessage[];
  readonly stand?: Stand;
  /** What comes next can only be told from a stream of whole transactions: read on that way from here. Nothing comes behind this. */
  readonly isUnclear?: boolean;
}

export interface InCommitOrderOptions {
  readonly next: () => Promise<Round>;
  /** Where what is not committed waits. */
  readonly spillFolder: string;
}

/** The rounds of `next` as messages of protocol version 1: whole transactions, one after the other. One that waited comes in many rounds.
 *  Throws SOURCE_PROTOCOL, SOURCE_SPILL_FULL, SOURCE_SPILL_IO. */
export async function* inCommitOrder({ next, spillFolder }: InCommitOrderOptions): AsyncGenerator<Round> {
  const waiting = new Map<number, Spill>();
  await using open = new AsyncDisposableStack();
  open.defer(async () => {
    for (const spill of waiting.values()) await spill[Symbol.asyncDispose]();
  });
  let block: Spill | undefined;
  for (;;) {
    const round = await next();
    if (!block && !round.messages.some(isOfStream)) {
      yield round;
      continue;
    }
    let messages: WalMessage[] = [];
    for (const message of round.messages) {
      const { bytes, at, end } = message;
      const letter = bytes[at];
      if (block) {
        if (letter === STREAM_STOP) {
          await block.flush();
          block = undefined;
        } else if (letter !== ORIGIN) {
          // The origin of a transaction says nothing that we keep, and is the only one that names no transaction.
          if (letter === undefined || !inBlocks.has(letter))
            throw unexpected(letter, 'within a block of a transaction');
          block.put(message);
          if (block.isFull) await block.flush();
        }
      } else if (letter === STREAM_START) {
        block = await begun(waiting, message, spillFolder);
      } else if (letter === STREAM_ABORT) {
        const transaction = bytes.readUInt32BE(at + 1);
        const aborted = bytes.readUInt32BE(at + 5);
        const spill = waiting.get(transaction);
        if (aborted !== transaction) spill?.abort(aborted);
        else if (waiting.delete(transaction)) await spill?.[Symbol.asyncDispose]();
      } else if (letter === STREAM_COMMIT) {
        const commit = bytes.subarray(at, end);
        const spill = waiting.get(commit.readUInt32BE(1));
        if (!spill) throw unexpected(letter, 'of a transaction of which nothing came');
        yield { messages, isUnclear: spill.isUnclear };
        messages = [];
        yield* committed(spill, commit);
        waiting.delete(commit.readUInt32BE(1));
      } else if (letter === STREAM_STOP) {
        throw unexpected(letter, 'where no block is open');
      } else {
        messages.push(message);
      }
    }
    yield { ...round, messages };
  }
}

/** The spill of the transaction whose block begins. */
async function begun(waiting: Map<number, Spill>, { bytes, at }: WalMessage, spillFolder: string): Promise<Spill> {
  const transaction = bytes.readUInt32BE(at + 1);
  const isFirst = bytes.readUInt8(at + 5) === 1;
  const known = waiting.get(transaction);
  if (isFirst !== (known === undefined))
    throw protocolFailure(`${isFirst ? 'the first block twice' : 'no first block'} of transaction ${transaction}`);
  if (known) return known;
  const spill = await openSpill(spillFolder);
  waiting.set(transaction, spill);
  return spill;
}

/** The transaction of a Stream Commit, from its beginning to its end. */
async function* committed(spill: Spill, streamed: Buffer): AsyncGenerator<Round> {
  yield { messages: [messageOf(beginOf(streamed))] };
  for await (const messages of spill.messages()) yield { messages };
  // But for the number of the transaction behind its letter it is a Commit.
  const commit = Buffer.from(streamed.subarray(4));
  commit.write('C');
  yield { messages: [messageOf(commit)] };
  await spill[Symbol.asyncDispose]();
}

const messageOf = (bytes: Buffer): WalMessage => ({ bytes, at: 0, end: bytes.length });

/** The Begin that the transaction of a Stream Commit would have had: where its commit stands, when it was, and its number. */
function beginOf(streamed: Buffer): Buffer {
  const begin = Buffer.alloc(21, 'B');
  streamed.copy(begin, 1, 6, 14);
  streamed.copy(begin, 9, 22, 30);
  streamed.copy(begin, 17, 1, 5);
  return begin;
}

const unexpected = (letter: number | undefined, where: string) =>
  protocolFailure(`a message of type ${JSON.stringify(String.fromCharCode(letter ?? 0))} ${where}`);
