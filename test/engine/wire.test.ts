import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { sqlState } from '../../src/engine/postgres/failure.ts';
import { COPY_DATA, type Frame, NOTICE_RESPONSE, READY_FOR_QUERY } from '../../src/engine/postgres/message.ts';
import { Wire } from '../../src/engine/postgres/wire.ts';
import { isCode } from '../../src/error.ts';
import { frameBytes, openPair as openSockets } from './pair.ts';

async function openPair() {
  const pair = await openSockets();
  return { ...pair, wire: new Wire(pair.connection) };
}

/** The next `count` frames, however they come. */
async function taken(wire: Wire, count: number): Promise<Frame[]> {
  const frames: Frame[] = [];
  while (frames.length < count) frames.push(...(await wire.take()));
  return frames;
}

/** Writes, and waits until the reader's end has it: what follows comes as a chunk of its own. */
async function writeAlone(server: Socket, client: Socket, bytes: Buffer): Promise<void> {
  const before = client.bytesRead;
  server.write(bytes);
  while (client.bytesRead < before + bytes.length) await new Promise((resolve) => setImmediate(resolve));
}

const unreachable = (error: unknown): boolean => isCode(error, 'SOURCE_UNREACHABLE');

test('frames arrive whole wherever the stream is cut in two', async () => {
  await using pair = await openPair();
  const bodies = [Buffer.from('first'), Buffer.alloc(0), Buffer.from([0, 0, 0, 9])];
  const all = Buffer.concat(bodies.map((body) => frameBytes(COPY_DATA, body)));
  for (let cut = 1; cut < all.length; cut += 1) {
    const coming = taken(pair.wire, bodies.length);
    await writeAlone(pair.server, pair.client, all.subarray(0, cut));
    pair.server.write(all.subarray(cut));
    const frames = await coming;
    assert.deepEqual(
      frames.map((frame) => frame.body),
      bodies,
      `cut at ${cut}`,
    );
  }
});

test('frames arrive whole when every byte comes alone', async () => {
  await using pair = await openPair();
  const bodies = [Buffer.from('ab'), Buffer.alloc(0), Buffer.from('cde')];
  const coming = taken(pair.wire, bodies.length);
  for (const byte of Buffer.concat(bodies.map((body) => frameBytes(COPY_DATA, body))))
    await writeAlone(pair.server, pair.client, Buffer.from([byte]));
  assert.deepEqual(
    (await coming).map((frame) => frame.body),
    bodies,
  );
});

test('a frame of 50 MB between small ones arrives as it was', async () => {
  await using pair = await openPair();
  const large = Buffer.alloc(50_000_000, 'changeover ');
  pair.server.write(frameBytes(COPY_DATA, Buffer.from('before')));
  pair.server.write(frameBytes(COPY_DATA, large));
  pair.server.write(frameBytes(READY_FOR_QUERY, Buffer.from('I')));
  const [before, middle, after, ...more] = await taken(pair.wire, 3);
  assert.equal(before?.body.toString(), 'before');
  assert.ok(middle?.body.equals(large));
  assert.deepEqual([after?.type, more.length], [READY_FOR_QUERY, 0]);
});

test('what a server may say at any time is left out', async () => {
  await using pair = await openPair();
  pair.server.write(frameBytes(NOTICE_RESPONSE, Buffer.from('by the way')));
  pair.server.write(frameBytes(READY_FOR_QUERY, Buffer.from('I')));
  const [frame, ...more] = await taken(pair.wire, 1);
  assert.deepEqual([frame?.type, more.length], [READY_FOR_QUERY, 0]);
});

test('a connection that the server closes or resets is unreachable, with a frame half read or not', async () => {
  const ends: ((server: Socket) => void)[] = [
    (server) => server.end(),
    (server) => server.end(Buffer.from([COPY_DATA, 0, 0, 0, 99, 1, 2])),
    (server) => server.resetAndDestroy(),
  ];
  for (const end of ends) {
    await using pair = await openPair();
    const waiting = pair.wire.take();
    end(pair.server);
    await assert.rejects(waiting, unreachable);
    await assert.rejects(pair.wire.take(), unreachable);
  }
});

test('a frame that no server sends is refused, not waited for', async () => {
  for (const length of [0, 3, 0x4000_0000, 0xffff_ffff]) {
    await using pair = await openPair();
    const head = Buffer.from([COPY_DATA, 0, 0, 0, 0]);
    head.writeUInt32BE(length, 1);
    pair.server.write(head);
    await assert.rejects(pair.wire.take(), unreachable);
  }
});

test('an abort ends a wait for frames', async () => {
  await using pair = await openPair();
  const waiting = pair.wire.take();
  pair.client.destroy();
  await assert.rejects(waiting, unreachable);
});

test('sending waits for a slow server, and an abort ends that wait', async () => {
  await using pair = await openPair();
  pair.server.pause();
  const bytes = Buffer.alloc(32_000_000);
  const sending = pair.wire.send(bytes);
  setImmediate(() => pair.client.destroy());
  await assert.rejects(sending, unreachable);
});

test('sending over a connection that is gone fails, and posting does nothing', { timeout: 5000 }, async () => {
  await using pair = await openPair();
  pair.client.destroy();
  await once(pair.client, 'close');
  await assert.rejects(pair.wire.send(Buffer.from('x')), unreachable);
  pair.wire.post(Buffer.from('x'));
});

test("a server's refusal carries its SQLSTATE and its message, never its detail", async () => {
  await using pair = await openPair();
  const fields = ['SERROR', 'C55006', 'Mslot is active', 'DRow (secret)', ''].map((field) => `${field}\0`);
  pair.server.write(frameBytes(0x45, Buffer.from(fields.join(''))));
  const frames = await taken(pair.wire, 1);
  assert.throws(
    () => [...pair.wire.checked(frames, 'Streaming')],
    (error) =>
      isCode(error, 'SOURCE_SLOT_BUSY') &&
      sqlState(error) === '55006' &&
      /slot is active/.test(String(error)) &&
      !/secret/.test(String(error)),
  );
});
