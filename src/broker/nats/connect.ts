import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { ChangeoverError, type Code } from '../../error.ts';
import { type TlsPlan, tlsRefusal } from '../../tls.ts';
import { saidAgainst } from './handshake.ts';
import { loginOptions, type NatsLogin, type NatsTarget, targetsOf, tlsOf } from './login.ts';

export interface NatsPlace {
  /** As `nats://user:password@host:4222`; any of one cluster. */
  readonly servers: readonly string[];
  /** Name of the stream in JetStream. */
  readonly stream: string;
  /** Undefined: in the open, unless one of the addresses says `tls://`. */
  readonly tls?: TlsPlan;
  /** Undefined: as the addresses say. */
  readonly login?: NatsLogin;
}

export interface Nats extends AsyncDisposable {
  readonly connection: NatsConnection;
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
}

/** A question that is not answered in so long is not answered at all. */
export const answerMsMax = 10_000;
/** A connection that says nothing for twice as long is given up. */
const pingMs = 10_000;

/** The first server that answers. Throws BROKER_UNREACHABLE, BROKER_LOGIN_REFUSED, BROKER_TLS_REFUSED, BROKER_UNSUITABLE,
 *  CONFIG_UNREADABLE. */
export async function connectNats(place: NatsPlace): Promise<Nats> {
  const failures: ChangeoverError[] = [];
  // One after the other by ourselves: the client checks all servers by one name, and each has to prove its own.
  for (const target of targetsOf(place)) {
    try {
      return await connectTo(target, place.stream);
    } catch (error) {
      failures.push(await connectFailure(error, target));
    }
  }
  // What does not go away by itself is told before a server that may come back.
  const [first] = failures;
  throw failures.find(({ code }) => code !== 'BROKER_UNREACHABLE') ?? first ?? natsFailure('no server', 'Connecting');
}

async function connectFailure(error: unknown, target: NatsTarget): Promise<ChangeoverError> {
  const { host, tls } = target;
  const doing = `Connecting to NATS at ${host}`;
  if (tls && isWithoutTls(error))
    return new ChangeoverError('BROKER_TLS_REFUSED', `${doing}: it has no TLS`, {
      hint: 'Turn on tls in nats-server.conf of that server. Nothing was sent in the open.',
      cause: error,
    });
  const refusal = tls && isHungUp(error) && tlsRefusal('BROKER_TLS_REFUSED', await saidAgainst(target), doing);
  return refusal || natsFailure(error, doing);
}

const isHungUp = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');

/** The client gives it no code. A wording that is not known ends as BROKER_UNREACHABLE, and never in the open. */
const isWithoutTls = (error: unknown): boolean =>
  error instanceof Error && /does not support 'tls'/.test(error.message);

async function connectTo(target: NatsTarget, stream: string): Promise<Nats> {
  const { connect } = await import('@nats-io/transport-node');
  const { jetstream, jetstreamManager } = await import('@nats-io/jetstream');
  const connection = await connect({
    servers: target.host,
    ...loginOptions(target.login),
    ...(target.tls && { tls: await tlsOf(target) }),
    name: `changeover ${stream}`,
    // Whoever supervises tries again, and asks the stream how far it is: a client that mends in silence would hide what was lost.
    reconnect: false,
    timeout: answerMsMax,
    pingInterval: pingMs,
    maxPingOut: 2,
  });
  try {
    const manager = await jetstreamManager(connection, { timeout: answerMsMax });
    const client = jetstream(connection, { timeout: answerMsMax });
    return { connection, client, manager, [Symbol.asyncDispose]: () => connection.close() };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** Numbers of the server: https://github.com/nats-io/nats-server/blob/main/server/errors.json */
const wrongLastSequence = [10_071, 10_164];
const insufficientStorage = [10_023, 10_047, 10_077, 10_028];
const notFound = [10_059, 10_037, 10_014];

const numberOf = (error: unknown): number | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;

export const isNotFound = (error: unknown): boolean => notFound.includes(numberOf(error) ?? 0);

/** A seed that is torn does not mend by trying again. */
const isSeedFault = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('nkeys: ');

/** Puts what the client threw into the closed table. */
export function natsFailure(error: unknown, doing: string): ChangeoverError {
  if (error instanceof ChangeoverError) return error;
  const refusal = tlsRefusal('BROKER_TLS_REFUSED', error, doing);
  if (refusal) return refusal;
  const { name, message } = error instanceof Error ? error : { name: '', message: String(error) };
  return new ChangeoverError(codeOf(error, name), `${doing} failed: ${message}`, { cause: error });
}

function codeOf(error: unknown, name: string): Code {
  const number = numberOf(error) ?? 0;
  if (wrongLastSequence.includes(number)) return 'BROKER_LOCKED';
  if (insufficientStorage.includes(number)) return 'BROKER_DISK_FULL';
  if (name === 'AuthorizationError' || name === 'UserAuthenticationExpiredError' || name === 'PermissionViolationError')
    return 'BROKER_LOGIN_REFUSED';
  if (isSeedFault(error)) return 'BROKER_LOGIN_REFUSED';
  if (name === 'JetStreamNotEnabled') return 'BROKER_UNSUITABLE';
  return 'BROKER_UNREACHABLE';
}
