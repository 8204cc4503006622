import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib';
import { ChangeoverError, type Code } from '../../error.ts';
import { type TlsPlan, tlsOptions, tlsRefusal } from '../../tls.ts';
import { type RabbitLogin, targetOf } from './login.ts';

export interface RabbitPlace {
  /** As `amqp://user:password@host:5672/vhost`. */
  readonly url: string;
  readonly stream: string;
  /** Undefined: in the open, unless the address says `amqps://`. */
  readonly tls?: TlsPlan;
  /** Undefined: as the address says. */
  readonly login?: RabbitLogin;
}

/** A peer that says nothing for two or three times as long is given up, on either side. */
export const heartbeatSeconds = 4;
const connectMsMax = 5000;

/** Throws BROKER_UNREACHABLE, BROKER_LOGIN_REFUSED, BROKER_TLS_REFUSED, CONFIG_UNREADABLE. */
export async function connectRabbit(place: RabbitPlace): Promise<ChannelModel> {
  const { connect, credentials } = await import('amqplib');
  const { url, host, name, tls } = targetOf(place);
  url.searchParams.set('heartbeat', String(heartbeatSeconds));
  const { login, stream } = place;
  try {
    const connection = await connect(url.href, {
      ...(tls && (await tlsOptions({ serverName: name, ...tls }))),
      ...(login && { credentials: credentials.plain(login.user, login.password) }),
      timeout: connectMsMax,
      clientProperties: { connection_name: `changeover ${stream}` },
    });
    // Whoever waits for an answer is told by his channel.
    connection.on('error', () => undefined);
    return connection;
  } catch (error) {
    throw rabbitFailure(error, `Connecting to RabbitMQ at ${host}`);
  }
}

/** A channel whose end reaches whoever waits for something from it. */
export interface Line<C extends Channel = Channel> extends AsyncDisposable {
  readonly channel: C;
  /** What `promise` gives; rejects when the channel ends first. */
  orLost<T>(promise: Promise<T>): Promise<T>;
}

export const openLine = async (connection: ChannelModel): Promise<Line> => lineOf(await connection.createChannel());

export const openConfirmedLine = async (connection: ChannelModel): Promise<Line<ConfirmChannel>> =>
  lineOf(await connection.createConfirmChannel());

function lineOf<C extends Channel>(channel: C): Line<C> {
  const waiting = new Set<(error: unknown) => void>();
  let failure: unknown;
  const end = (error?: unknown): void => {
    failure ??= error ?? new ChangeoverError('BROKER_UNREACHABLE', 'The connection to RabbitMQ ended');
    for (const reject of waiting) reject(failure);
  };
  channel.on('error', end);
  channel.on('close', () => end());
  return {
    channel,
    async orLost(promise) {
      promise.catch(() => undefined);
      if (failure !== undefined) throw failure;
      const { promise: lost, reject } = Promise.withResolvers<never>();
      waiting.add(reject);
      try {
        return await Promise.race([promise, lost]);
      } finally {
        waiting.delete(reject);
      }
    },
    async [Symbol.asyncDispose]() {
      if (failure === undefined) await channel.close().catch(() => undefined);
    },
  };
}

/** https://www.rabbitmq.com/amqp-0-9-1-reference.html#constants */
const codes: Readonly<Record<number, Code>> = {
  403: 'BROKER_LOGIN_REFUSED',
  405: 'BROKER_LOCKED',
  406: 'BROKER_UNSUITABLE',
  530: 'BROKER_LOGIN_REFUSED',
};

export const replyOf = (error: unknown): number | undefined => {
  if (!(error instanceof Error)) return undefined;
  if ('code' in error && typeof error.code === 'number') return error.code;
  // A login that fails is told in words alone.
  const told =
    /\b(403|530)\b/.exec(error.message)?.[1] ?? (/ACCESS[-_]REFUSED/.test(error.message) ? '403' : undefined);
  return told === undefined ? undefined : Number(told);
};

/** No such queue. A queue whose node is down, or only comes up, has the same number: it is there, and must not be made or missed. */
export const isMissing = (error: unknown): boolean =>
  replyOf(error) === 404 && error instanceof Error && /no queue/i.test(error.message);

const basicClass = 60;

/** A stream that comes up has no replica to read from at first; a declaration, and a queue that is no stream, have other reasons for the
 *  same number. */
const isNotUp = (error: unknown): boolean =>
  replyOf(error) === 406 &&
  error instanceof Error &&
  'classId' in error &&
  error.classId === basicClass &&
  !/invalid arg/i.test(error.message);

/** Puts what the client threw into the closed table. */
export function rabbitFailure(error: unknown, doing: string): ChangeoverError {
  if (error instanceof ChangeoverError) return error;
  const refusal = tlsRefusal('BROKER_TLS_REFUSED', error, doing);
  if (refusal) return refusal;
  const message = error instanceof Error ? error.message : String(error);
  const code = isMissing(error)
    ? 'BROKER_EMPTY'
    : isNotUp(error)
      ? 'BROKER_UNREACHABLE'
      : (codes[replyOf(error) ?? 0] ?? 'BROKER_UNREACHABLE');
  return new ChangeoverError(code, `${doing} failed: ${message}`, {
    cause: error,
  });
}
