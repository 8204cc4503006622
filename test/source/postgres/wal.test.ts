import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { lsn } from '../../../src/engine/postgres/lsn.ts';
import { COPY_DATA } from '../../../src/engine/postgres/message.ts';
import { WalStream } from '../../../src/source/postgres/wal.ts';
import { frameBytes, openPair, type Pair } from '../../engine/pair.ts';

/** Keepalive that wants an answer: what the server sent up to so far is no news for us. */
function keepalive(sent: bigint): Buffer {
  const body = Buffer.alloc(18);
  body.write('k');
  body.writeBigUInt64BE(sent, 1);
  body[17] = 1;
  return frameBytes(COPY_DATA, body);
}

/** What the next status says may be forgotten. */
async function nextStatus({ server }: Pair): Promise<bigint> {
  const [bytes] = (await once(server, 'data')) as [Buffer];
  assert.deepEqual([bytes[0], bytes.length, bytes.toString('latin1', 5, 6)], [COPY_DATA, 39, 'r']);
  return bytes.readBigUInt64BE(14);
}

test('an answer to a keepalive says only what was confirmed, whatever the server has sent', async () => {
  await using pair = await openPair();
  using wal = new WalStream(pair.connection, { silenceMsMax: 60_000 });
  const asked = async (): Promise<bigint> => {
    const status = nextStatus(pair);
    pair.server.write(keepalive(9_000_000n));
    assert.deepEqual(await wal.take(), []);
    return status;
  };
  assert.equal(await asked(), 0n);
  const confirmed = nextStatus(pair);
  wal.confirm(lsn(500n));
  assert.equal(await confirmed, 500n);
  assert.equal(await asked(), 500n);
  wal.confirm(lsn(400n));
  assert.equal(await asked(), 500n);
});

/** A message of a transaction that was committed a minute before it is sent. */
function old(letter: string, length: number): Buffer {
  const sentUs = 600_000_000n;
  const body = Buffer.alloc(25 + length);
  body.write('w');
  body.writeBigInt64BE(sentUs, 17);
  body.write(letter, 25, 'latin1');
  if (letter === 'C') body.writeBigInt64BE(sentUs - 60_000_000n, 25 + 18);
  return frameBytes(COPY_DATA, body);
}

test('a torrent that breaks off is over without another word of the server', async () => {
  await using pair = await openPair();
  using wal = new WalStream(pair.connection, { silenceMsMax: 60_000 });
  const gulp = Buffer.concat([old('C', 26), ...Array.from({ length: 500 }, () => old('I', 75))]);
  pair.server.write(gulp);
  let messages = 0;
  let wasTorrent = false;
  while (messages < 501) {
    messages += (await wal.take()).length;
    wasTorrent ||= wal.isTorrent;
  }
  assert.ok(wasTorrent);
  if (wal.isTorrent) assert.deepEqual(await wal.take(), []);
  assert.equal(wal.isTorrent, false);
  const next = wal.take();
  pair.server.write(old('C', 26));
  assert.equal((await next).length, 1);
});
