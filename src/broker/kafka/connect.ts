import type { Admin, BaseOptions, Consumer, Producer } from '@platformatic/kafka';
import { ChangeoverError, type Code } from '../../error.ts';
import { type TlsPlan, tlsRefusal } from '../../tls.ts';
import { type KafkaLogin, loginOptions } from './login.ts';

export interface KafkaPlace {
  /** As `host:9092`; any of one cluster. */
  readonly bootstrap: readonly string[];
  readonly topic: string;
  /** Undefined: in the open. */
  readonly tls?: TlsPlan;
  /** Undefined: as nobody. */
  readonly login?: KafkaLogin;
}

/** A question that is not answered in so long is not answered at all. */
export const answerMsMax = 10_000;

export interface KafkaClients {
  admin(): Admin;
  /** Each asks on connections of its own: one that waits for new records would hold up all that is asked behind it. */
  consumer(groupId: string): Consumer;
  producer(): Producer;
}

/** They open nothing yet, but where there is a plan of TLS it was tried. Throws BROKER_TLS_REFUSED, BROKER_LOGIN_REFUSED,
 *  BROKER_UNREACHABLE, CONFIG_UNREADABLE. */
export async function kafkaClients(place: KafkaPlace): Promise<KafkaClients> {
  const { bootstrap, topic, tls } = place;
  const { Admin, Consumer, Producer, ProduceAcks } = await import('@platformatic/kafka');
  const options: BaseOptions = {
    clientId: `changeover-${topic}`,
    bootstrapBrokers: [...bootstrap],
    connectTimeout: answerMsMax / 2,
    requestTimeout: answerMsMax,
    timeout: answerMsMax / 2,
    // Whoever supervises tries again, and asks the stream how far it is.
    retries: 0,
    autocreateTopics: false,
    ...(await loginOptions(place)),
  };
  const admin = (): Admin => new Admin(options);
  if (tls) await knock(admin(), `Connecting to Kafka at ${bootstrap.join(', ')}`);
  return {
    admin,
    consumer: (groupId) => new Consumer({ ...options, groupId, autocommit: false }),
    producer: () => new Producer({ ...options, acks: ProduceAcks.ALL, repeatOnStaleMetadata: false }),
  };
}

/** One question and its answer. A server refuses a certificate of ours after its own part of the handshake, and the client keeps that
 *  word from whoever asks: to him the connection has just ended. */
async function knock(admin: Admin, doing: string): Promise<void> {
  let told: unknown;
  admin.on('client:broker:connect', ({ connection }) => connection.once('error', (error) => (told = error)));
  try {
    await admin.metadata({ topics: [] });
  } catch (error) {
    if (isBrokenOff(error))
      throw new ChangeoverError('BROKER_UNREACHABLE', `${doing}: it broke off the handshake of TLS`, {
        hint: 'Check that the listener at this port is one of SSL or SASL_SSL: one in the open hangs up without a word, as a broker does that goes down. Nothing was sent in the open.',
        cause: error,
      });
    throw kafkaFailure(told ?? error, doing);
  } finally {
    await admin.close().catch(() => undefined);
  }
}

/** https://kafka.apache.org/protocol#protocol_error_codes */
const offsetOutOfRange = [1];
const settingUp = [14, 15, 16];
const unknownTopic = [3, 100];
const tooLarge = [10, 18];
const refused = [29, 30, 31, 33, 34, 58];

/** The numbers that the server gave, wherever the client put them. */
function numbersIn(error: unknown): readonly number[] {
  if (!(error instanceof Error)) return [];
  const own = 'apiCode' in error && typeof error.apiCode === 'number' ? [error.apiCode] : [];
  const inner = error instanceof AggregateError ? error.errors.flatMap(numbersIn) : [];
  return [...own, ...inner, ...numbersIn(error.cause)];
}

const has = (error: unknown, numbers: readonly number[]): boolean =>
  numbersIn(error).some((number) => numbers.includes(number));

export const isUnknownTopic = (error: unknown): boolean => has(error, unknownTopic);
export const isSettingUp = (error: unknown): boolean => has(error, settingUp);
export const isOutOfRange = (error: unknown): boolean => has(error, offsetOutOfRange);

/** Puts what the client threw into the closed table. */
export function kafkaFailure(error: unknown, doing: string): ChangeoverError {
  if (error instanceof ChangeoverError) return error;
  const refusal = tlsRefusal('BROKER_TLS_REFUSED', error, doing);
  if (refusal) return refusal;
  const root = rootOf(error);
  const message = root instanceof Error ? root.message : String(root);
  return new ChangeoverError(codeOf(error), `${doing} failed: ${message}`, { cause: error });
}

function codeOf(error: unknown): Code {
  // A connection that ends within the login comes as a failed login, too: what is behind it counts.
  if (has(error, refused) || hasCode(rootOf(error), 'PLT_KFK_AUTHENTICATION')) return 'BROKER_LOGIN_REFUSED';
  if (has(error, tooLarge)) return 'BROKER_UNSUITABLE';
  return 'BROKER_UNREACHABLE';
}

/** The client wraps what happened several times. */
function rootOf(error: unknown): unknown {
  if (error instanceof AggregateError && error.errors.length > 0) return rootOf(error.errors[0]);
  return error instanceof Error && error.cause !== undefined ? rootOf(error.cause) : error;
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

/** Node has one code for all connections that end, and words of its own for one that ends within the handshake; so has the client. */
const isBrokenOff = (error: unknown): boolean => {
  const root = rootOf(error);
  return hasCode(root, 'ECONNRESET') && root instanceof Error && /before secure TLS connection/.test(root.message);
};
