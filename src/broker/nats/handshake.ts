import { once } from 'node:events';
import { createConnection } from 'node:net';
import { connect } from 'node:tls';
import { type NatsTarget, tlsOf } from './login.ts';

/** For one that neither lets us in nor says why not. */
const listenMsMax = 2000;

/** What a server has against our part of the handshake, where the client lost its word. From TLS 1.3 on a certificate of ours is
 *  refused after the server's own part, and NATS hangs up at once: a login that is on its way then makes the network drop what was said
 *  (seen 266 times of 300). Here nothing is sent behind the handshake. Undefined: nothing. */
export async function saidAgainst(target: NatsTarget): Promise<unknown> {
  const signal = AbortSignal.timeout(listenMsMax);
  const socket = createConnection({ host: target.name, port: target.port });
  try {
    // It speaks first, and in the open.
    await once(socket, 'data', { signal });
    const secured = connect({ socket, ...(await tlsOf(target)) });
    await once(secured, 'secureConnect', { signal });
    // Whom it lets in gets a ticket for the next time.
    await once(secured, 'session', { signal });
    return undefined;
  } catch (error) {
    return error;
  } finally {
    socket.destroy();
  }
}
