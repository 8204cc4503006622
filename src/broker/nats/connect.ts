import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { ChangeoverError, type Code } from '../../error.ts';

export interface NatsPlace {
  /** As `nats://user:password@host:4222`; any of one cluster. */
  readonly servers: readonly string[];
  /** Name of the stream in JetStream. */
  readonly stream: string;
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

/** Throws BROKER_UNREACHABLE, BROKER_LOGIN_REFUSED, BROKER_UNSUITABLE. */
export async function connectNats({ servers, stream }: NatsPlace): Promise<Nats> {
  const { connect } = await import('@nats-io/transport-node');
  const { jetstream, jetstreamManager } = await import('@nats-io/jetstream');
  try {
    const connection = await connect({
      ...loginOf(servers),
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
  } catch (error) {
    throw natsFailure(error, `Connecting to NATS at ${servers.map(hostOf).join(', ')}`);
  }
}

/** User and password, or a token, of the first address that has them. */
function loginOf(servers: readonly string[]) {
  const urls = servers.map((server) => new URL(server.includes('://') ? server : `nats://${server}`));
  const login = urls.find((url) => url.username !== '');
  const [user, pass] = [login?.username, login?.password].map((text) => text && decodeURIComponent(text));
  return {
    servers: urls.map((url) => url.host),
    ...(user && pass ? { user, pass } : user ? { token: user } : {}),
    ...(urls.some((url) => url.protocol === 'tls:') && { tls: {} }),
  };
}

export const hostOf = (server: string): string => new URL(server.includes('://') ? server : `nats://${server}`).host;

/** Numbers of the server: https://github.com/nats-io/nats-server/blob/main/server/errors.json */
const wrongLastSequence = [10_071, 10_164];
const insufficientStorage = [10_023, 10_047, 10_077, 10_028];
const notFound = [10_059, 10_037, 10_014];

const numberOf = (error: unknown): number | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;

export const isNotFound = (error: unknown): boolean => notFound.includes(numberOf(error) ?? 0);

/** Puts what the client threw into the closed table. */
export function natsFailure(error: unknown, doing: string): ChangeoverError {
  if (error instanceof ChangeoverError) return error;
  const { name, message } = error instanceof Error ? error : { name: '', message: String(error) };
  return new ChangeoverError(codeOf(error, name), `${doing} failed: ${message}`, { cause: error });
}

function codeOf(error: unknown, name: string): Code {
  const number = numberOf(error) ?? 0;
  if (wrongLastSequence.includes(number)) return 'BROKER_LOCKED';
  if (insufficientStorage.includes(number)) return 'BROKER_DISK_FULL';
  if (name === 'AuthorizationError' || name === 'UserAuthenticationExpiredError' || name === 'PermissionViolationError')
    return 'BROKER_LOGIN_REFUSED';
  if (name === 'JetStreamNotEnabled') return 'BROKER_UNSUITABLE';
  return 'BROKER_UNREACHABLE';
}
