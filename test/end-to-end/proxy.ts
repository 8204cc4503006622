import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Transform } from 'node:stream';

/** A network between a client and a server on loopback that can fail. */
export interface Proxy extends AsyncDisposable {
  /** The same address, through the proxy. */
  url(url: string): string;
  /** Cuts every connection with a reset. */
  reset(): void;
  /** From now on nothing passes on the connections that are there, and nobody is told. New ones work. */
  freeze(): void;
  /** Cuts the connection of the next client who says this, before the server hears it. */
  cutAt(words: string): void;
  /** Holds the next answer to a COMMIT back, and all that would follow it on its connection. Resolves when it is held, or when none came
   *  before `signal` aborted. */
  holdCommit(signal: AbortSignal): Promise<void>;
}

/** CommandComplete (https://www.postgresql.org/docs/current/protocol-message-formats.html). */
const committed = Buffer.from('C\0\0\0\u000bCOMMIT\0');

export async function openProxy(port: number): Promise<Proxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let cut: string | undefined;
  let hold: (() => void) | undefined;
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    const pair = [near, far] as const;
    pairs.add(pair);
    near
      .pipe(
        new Transform({
          transform(chunk: Buffer, _, pass) {
            if (cut === undefined || !chunk.includes(cut)) return pass(null, chunk);
            cut = undefined;
            near.resetAndDestroy();
          },
        }),
      )
      .pipe(far);
    far
      .pipe(
        new Transform({
          transform(chunk: Buffer, _, pass) {
            if (!hold || !chunk.includes(committed)) return pass(null, chunk);
            hold();
          },
        }),
      )
      .pipe(near);
    for (const socket of pair) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        pairs.delete(pair);
        for (const one of pair) one.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: own } = server.address() as AddressInfo;
  return {
    url(url) {
      const through = new URL(url);
      through.port = String(own);
      return through.href;
    },
    reset() {
      for (const [near, far] of pairs) {
        near.resetAndDestroy();
        far.resetAndDestroy();
      }
    },
    freeze() {
      for (const [near, far] of pairs) {
        near.unpipe().pause();
        far.unpipe().pause();
      }
    },
    cutAt: (words) => (cut = words),
    async holdCommit(signal) {
      const { promise, resolve } = Promise.withResolvers<void>();
      hold = resolve;
      signal.addEventListener('abort', () => resolve());
      await promise;
      hold = undefined;
    },
    async [Symbol.asyncDispose]() {
      for (const pair of pairs) for (const socket of pair) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
