import type { Admin, BaseOptions, Consumer, Producer } from '@platformatic/kafka';
import { ChangeoverError, type Code } from '../../error.ts';

export interface KafkaPlace {
  /** As `host:9092`; any of one cluster. */
  readonly bootstrap: readonly string[];
  readonly topic: string;
}

/** A question that is not answered in so long is not answered at all. */
export const answerMsMax = 10_000;

export interface KafkaClients {
  admin(): Admin;
  /** Each asks on connections of its own: one that waits for new records would hold up all that is asked behind it. */
  consumer(groupId: string): Consumer;
  producer(): Producer;
}

/** Opens nothing yet. */
export async function kafkaClients({ bootstrap, topic }: KafkaPlace): Promise<KafkaClients> {
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
  };
  return {
    admin: () => new Admin(options),
    consumer: (groupId) => new Consumer({ ...options, groupId, autocommit: false }),
    producer: () => new Producer({ ...options, acks: ProduceAcks.ALL, repeatOnStaleMetadata: false }),
  };
}

/** https://kafka.apache.org/protocol#protocol_error_codes */
const offsetOutOfRange = [1];
const settingUp = [14, 15, 16];
const unknownTopic = [3, 100];
const tooLarge = [10, 18];
const refused = [29, 30, 31, 58];

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
  return new ChangeoverError(codeOf(error), `${doing} failed: ${deepest(error)}`, { cause: error });
}

function codeOf(error: unknown): Code {
  if (has(error, refused) || (error instanceof Error && 'code' in error && error.code === 'PLT_KFK_AUTHENTICATION'))
    return 'BROKER_LOGIN_REFUSED';
  if (has(error, tooLarge)) return 'BROKER_UNSUITABLE';
  return 'BROKER_UNREACHABLE';
}

/** The client wraps what happened several times. */
function deepest(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return deepest(error.errors[0]);
  if (error instanceof Error && error.cause !== undefined) return deepest(error.cause);
  return error instanceof Error ? error.message : String(error);
}
