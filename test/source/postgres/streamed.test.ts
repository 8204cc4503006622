import assert from 'node:assert/strict';
import { mkdtemp, open, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isCode } from '../../../src/error.ts';
import { Spill } from '../../../src/source/postgres/spill.ts';
import { commitOf, isBegin } from '../../../src/source/postgres/standing.ts';
import { inCommitOrder } from '../../../src/source/postgres/streamed.ts';

/* Bytes as the manual lays them out: https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html */
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
};
const bytes = (...parts: readonly (Buffer | string)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));

const start = (transaction: number, how: 'first' | 'again' = 'first') =>
  bytes('S', u32(transaction), how === 'first' ? '\u0001' : '\0');
const stop = bytes('E');
const row = (transaction: number, text: string) => bytes('I', u32(transaction), text);
const abort = (transaction: number, within = transaction) => bytes('A', u32(transaction), u32(within));
const commit = (transaction: number, at = 16n) => bytes('c', u32(transaction), '\0', u64(at), u64(at + 8n), u64(5n));
const begin = (transaction: number, at = 16n) => bytes('B', u64(at), u64(5n), u32(transaction));
const committed = (at = 16n) => bytes('C', '\0', u64(at), u64(at + 8n), u64(5n));

class Over extends RangeError {}

/** What comes out of rounds of messages. */
async function told(
  rounds: readonly (readonly Buffer[])[],
  spillFolder = tmpdir(),
): Promise<{ messages: Buffer[]; unclear: boolean }> {
  const left = rounds.values();
  const next = async () => {
    const round = left.next();
    if (round.done) throw new Over();
    // As they come: amid what else came with them.
    return { messages: round.value.map((body) => ({ bytes: bytes('w', body, 'w'), at: 1, end: 1 + body.length })) };
  };
  const messages: Buffer[] = [];
  try {
    for await (const round of inCommitOrder({ next, spillFolder })) {
      messages.push(...round.messages.map((one) => one.bytes.subarray(one.at, one.end)));
      if (round.isUnclear) return { messages, unclear: true };
    }
  } catch (error) {
    if (!(error instanceof Over)) throw error;
  }
  return { messages, unclear: false };
}

test('what comes in blocks comes out as if it had come at its commit', async () => {
  const small = [begin(9), bytes('I', 'small'), committed()];
  const { messages } = await told([
    [...small, start(7), bytes('O', u64(1n), 'origin\0'), row(7, 'one')],
    [row(8, 'within')],
    [stop, ...small, start(5), row(5, 'other'), stop, start(7, 'again'), row(7, 'two'), stop],
    [commit(5, 32n), ...small, commit(7, 48n), ...small],
  ]);
  assert.deepEqual(messages, [
    ...small,
    ...small,
    begin(5, 32n),
    bytes('I', 'other'),
    committed(32n),
    ...small,
    begin(7, 48n),
    ...['one', 'within', 'two'].map((text) => bytes('I', text)),
    committed(48n),
    ...small,
  ]);
});

test('what was rolled back does not come out, be it a part or all', async () => {
  const { messages } = await told([
    [start(7), row(7, 'one'), row(8, 'gone'), stop, start(5), row(5, 'gone'), stop],
    [abort(7, 8), start(7, 'again'), row(9, 'two'), stop, abort(5), abort(6), commit(7)],
    // The number of a transaction comes again, in time.
    [start(5), row(5, 'three'), row(8, 'four'), stop, commit(5)],
  ]);
  const rows = messages.filter((message) => message.toString('latin1', 0, 1) === 'I');
  assert.deepEqual(rows.map(String), ['Ione', 'Itwo', 'Ithree', 'Ifour']);
});

test('where a logical message may have been rolled back, the transaction is not told', async () => {
  const block = [start(7), bytes('M', u32(7), 'message'), row(8, 'gone'), stop];
  const unclear = await told([[begin(9), committed(), ...block, abort(7, 8), commit(7), begin(9)]]);
  assert.deepEqual(unclear, { messages: [begin(9), committed()], unclear: true });
  for (const clear of [
    [...block, commit(7)],
    [...block, abort(7, 8), abort(7)],
    [start(7), row(8, 'gone'), stop, abort(7, 8), start(7, 'again'), bytes('M', u32(7), 'message'), stop, commit(7)],
  ])
    assert.equal((await told([clear])).unclear, false);
});

test('the commit of what came in blocks is its place in commit order', () => {
  for (const message of [begin(7, 64n), commit(7, 64n)]) {
    const body = bytes('w', message);
    assert.deepEqual([isBegin(body, 1), commitOf(body, 1)], [true, 64n]);
  }
});

const refused: Readonly<Record<string, readonly Buffer[]>> = {
  'a commit within a block': [start(7), commit(7)],
  'a block within a block': [start(7), start(5)],
  'a begin within a block': [start(7), begin(5)],
  'a message of no known kind within a block': [start(7), bytes('?', u32(7))],
  'an end without a block': [stop],
  'the commit of a transaction that never came': [commit(7)],
  'the commit of a transaction that was rolled back': [start(7), stop, abort(7), commit(7)],
  'a first block twice': [start(7), stop, start(7)],
  'a later block without a first': [start(7, 'again')],
};
for (const [what, messages] of Object.entries(refused))
  test(`${what} is refused`, async () => {
    await assert.rejects(told([messages]), (error) => isCode(error, 'SOURCE_PROTOCOL'));
  });

test('what waits is whole again, row by row, and lies readable nowhere', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-spill-'));
  try {
    const path = join(folder, 'it');
    await using spill = new Spill(await open(path, 'wx+'), folder);
    const texts = Array.from({ length: 3000 }, (_, place) => `secret ${place} `.repeat(place === 2000 ? 300_000 : 60));
    for (const text of texts) {
      const message = row(7, text);
      spill.put({ bytes: message, at: 0, end: message.length });
      if (spill.isFull) await spill.flush();
    }
    await spill.flush();
    assert.ok((await stat(path)).size > 4_000_000);
    assert.ok(!(await readFile(path)).includes('secret'));
    const found: string[] = [];
    for await (const messages of spill.messages())
      for (const one of messages) found.push(one.bytes.toString('utf8', one.at, one.end));
    assert.deepEqual(
      found,
      texts.map((text) => `I${text}`),
    );
    const other = await open(path, 'r+');
    await other.write(Buffer.from([1]), 0, 1, 3_000_000);
    await other.close();
    await assert.rejects(
      async () => {
        for await (const _messages of spill.messages());
      },
      (error) => isCode(error, 'SOURCE_SPILL_IO'),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** The files there that this process has open, whether or not they have a name. */
async function openIn(folder: string): Promise<readonly string[]> {
  const links = (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ''));
  return (await Promise.all(links)).filter((path) => path.startsWith(folder));
}

test('a file that waits has no name, and its space is free when the transaction is over', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-spill-'));
  try {
    const deep = join(folder, 'spill');
    const { messages } = await told(
      [
        [start(7), row(7, 'one'), stop],
        [start(5), row(5, 'two'), stop, abort(5)],
        [commit(7), start(9), stop],
      ],
      deep,
    );
    assert.equal(messages.length, 3);
    assert.deepEqual(await readdir(deep), []);
    assert.deepEqual(await openIn(deep), []);
    await assert.rejects(told([[start(7)]], '/dev/null/spill'), (error) => isCode(error, 'SOURCE_SPILL_IO'));
  } finally {
    await rm(folder, { recursive: true });
  }
});
