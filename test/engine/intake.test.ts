import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Intake } from '../../src/engine/postgres/intake.ts';
import { openPair } from './pair.ts';

const message = Buffer.alloc(2048, 'changeover ');
const count = 4000;

/** How many chunks a torrent of messages comes in, each sent by itself. */
async function chunksOfTorrent(gathers: boolean): Promise<number> {
  await using pair = await openPair();
  const intake = new Intake(pair.client, { gathers });
  const sending = (async () => {
    for (let sent = 0; sent < count; sent += 1) {
      message.writeUInt32BE(sent);
      pair.server.write(Buffer.from(message));
      await setImmediate();
    }
  })();
  const came: Buffer[] = [];
  for (let bytes = 0; bytes < count * message.length; ) {
    const chunk = await intake.next();
    assert.ok(chunk);
    came.push(chunk);
    bytes += chunk.length;
  }
  await sending;
  const all = Buffer.concat(came);
  for (let at = 0; at < count; at += 1) assert.equal(all.readUInt32BE(at * message.length), at);
  return came.length;
}

test('a torrent is taken in gulps where it may gather', async () => {
  const [single, gathered] = [await chunksOfTorrent(false), await chunksOfTorrent(true)];
  assert.ok(gathered < single / 4, `${gathered} chunks, ${single} without gathering`);
});

test('a connection that is gone in the middle of a torrent ends it', async () => {
  await using pair = await openPair();
  const intake = new Intake(pair.client, { gathers: true });
  pair.server.write(Buffer.alloc(1_000_000));
  await intake.next();
  pair.client.destroy();
  while ((await intake.next()) !== undefined);
});
