import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';
import type { Connection } from '../../src/engine/postgres/connect.ts';

const stoppable = { readableHighWaterMark: 1 };

/** A logged-in connection over a real socket, to a server that says what the test makes it say. */
export interface Pair extends AsyncDisposable {
  readonly connection: Connection;
  /** The other end: what a server would write to. */
  readonly server: Socket;
  /** Our end of the socket, which an abort destroys. */
  readonly client: Socket;
}

export async function openPair(): Promise<Pair> {
  const listening = createServer({ noDelay: true }).listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const address = listening.address();
  assert.ok(address !== null && typeof address === 'object');
  const accepted = once(listening, 'connection') as Promise<[Socket]>;
  // As a walsender's connection is opened.
  const client = dial({ port: address.port, host: '127.0.0.1', ...stoppable });
  client.on('error', () => undefined);
  const [server] = await accepted;
  server.on('error', () => undefined);
  const connection = { client: { connection: { stream: client } }, side: 'SOURCE' } as unknown as Connection;
  return {
    connection,
    server,
    client,
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      listening.close();
      await once(listening, 'close');
    },
  };
}

export function frameBytes(type: number, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head[0] = type;
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
