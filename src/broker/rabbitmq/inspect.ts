import type { ChannelModel } from 'amqplib';
import type { Finding } from '../../finding.ts';
import type { BrokerInspector } from '../broker.ts';
import { isThere } from './carrier.ts';
import { connectRabbit, openLine, type RabbitPlace, rabbitFailure, replyOf } from './connect.ts';
import { openRabbitFindings } from './login.ts';

export interface RabbitInspectorOptions extends RabbitPlace {
  /** Entries are wanted back for so long, at the least. */
  readonly keepMs: number;
}

/** Throws BROKER_UNREACHABLE, BROKER_LOGIN_REFUSED, BROKER_TLS_REFUSED. */
export async function openRabbitInspector(options: RabbitInspectorOptions): Promise<BrokerInspector> {
  const connection = await connectRabbit(options);
  const { stream, keepMs } = options;
  return {
    async check() {
      try {
        const facts = await factsOf(connection, stream);
        return [...openRabbitFindings(options), ...rabbitFindings({ stream, keepMs, ...facts })];
      } catch (error) {
        throw rabbitFailure(error, `Looking at stream ${stream} of RabbitMQ`);
      }
    },
    async forget() {
      try {
        await using line = await openLine(connection);
        await line.channel.deleteQueue(stream);
      } catch (error) {
        throw rabbitFailure(error, `Removing stream ${stream} of RabbitMQ`);
      }
    },
    [Symbol.asyncDispose]: () => connection.close().catch(() => undefined),
  };
}

export interface RabbitFacts {
  /** As `3.10.8`. */
  readonly version: string;
  /** Undefined: the stream is not there yet. */
  readonly found:
    | {
        /** `stream`, `classic`, `quorum`. */
        readonly type: string;
        /** As the queue was declared, for example `7D`. Undefined: it was declared without. */
        readonly maxAge: string | undefined;
        readonly maxBytes: string | undefined;
      }
    | undefined;
}

async function factsOf(connection: ChannelModel, stream: string): Promise<RabbitFacts> {
  const properties: { readonly version?: unknown } = connection.connection.serverProperties;
  const version = typeof properties.version === 'string' ? properties.version : '';
  if (!(await isThere(connection, stream))) return { version, found: undefined };
  const declared = await argumentsOf(connection, stream);
  const type = declared.get('x-queue-type') ?? 'classic';
  return { version, found: { type, maxAge: declared.get('x-max-age'), maxBytes: declared.get('x-max-length-bytes') } };
}

/** More than a queue can be declared with. */
const argumentsMax = 20;

/** What a queue was declared with. AMQP has no question for it, but the refusal of a declaration that differs names the first argument
 *  which does, with its value. Nothing is made or changed by asking: the queue is there. */
async function argumentsOf(connection: ChannelModel, queue: string): Promise<ReadonlyMap<string, string>> {
  const known = new Map<string, string | number>([['x-queue-type', 'stream']]);
  for (let asked = 0; asked < argumentsMax; asked += 1) {
    await using line = await openLine(connection);
    try {
      await line.channel.assertQueue(queue, { durable: true, arguments: Object.fromEntries(known) });
      break;
    } catch (error) {
      if (replyOf(error) !== 406 || !(error instanceof Error)) throw error;
      const [, name, value] =
        /inequivalent arg '([^']+)'.* but current is (?:the value )?'([^']*)'/.exec(error.message) ?? [];
      if (name === undefined || value === undefined || !name.startsWith('x-')) break;
      known.set(name, /^\d+$/.test(value) ? Number(value) : value);
    }
  }
  return new Map([...known].map(([name, value]) => [name, String(value)]));
}

/** What the settings mean for what we promise. Pure. */
export function rabbitFindings({
  stream,
  keepMs,
  version,
  found,
}: RabbitFacts & { readonly stream: string; readonly keepMs: number }): readonly Finding[] {
  const findings: Finding[] = [];
  const add = (severity: 'blocker' | 'warning' | 'note', check: string, message: string, cure: string): void => {
    const code = severity === 'blocker' ? ({ code: 'BROKER_UNSUITABLE' } as const) : {};
    findings.push({ severity, check, site: 'broker', message, cure, ...code });
  };
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < 3 || (major === 3 && minor < 10))
    add('blocker', 'broker-version', `RabbitMQ ${version} is older than 3.10`, '# RabbitMQ 3.10 or later');
  if (found && found.type !== 'stream') {
    add(
      'blocker',
      'broker-type',
      `Queue ${stream} is a ${found.type} queue: what one has read from it is gone for all others`,
      `rabbitmqctl delete_queue ${stream}\n# we make it anew, as a stream`,
    );
    return findings;
  }
  add(
    'warning',
    'broker-durability',
    'RabbitMQ answers when most replicas of a stream have an entry, before it is on their disks: with one node, a power cut can lose what it has acknowledged',
    '# a cluster of three nodes: a stream that is made there has a replica on each',
  );
  const ageMs = found?.maxAge === undefined ? undefined : ageInMs(found.maxAge);
  if (ageMs !== undefined)
    add(
      ageMs < keepMs ? 'blocker' : 'note',
      'broker-retention',
      `Stream ${stream} forgets entries after ${found?.maxAge}, also those that a secondary which is down still needs`,
      `# as long as the longest outage to be survived, or longer:\nrabbitmqctl set_policy changeover '^${stream}$' '{"max-age":"30D"}' --apply-to queues`,
    );
  if (found?.maxBytes !== undefined)
    add(
      'warning',
      'broker-retention',
      `Stream ${stream} forgets its oldest entries from ${found.maxBytes} bytes on, also those that a secondary which is down still needs`,
      `rabbitmqctl set_policy changeover '^${stream}$' '{"max-age":"30D"}' --apply-to queues\n# and no max-length-bytes when it is made`,
    );
  if (found && ageMs === undefined && found.maxBytes === undefined)
    add(
      'note',
      'broker-retention',
      `Stream ${stream} was declared without a limit: unless a policy sets one, it grows until the disk is full`,
      `rabbitmqctl set_policy changeover '^${stream}$' '{"max-age":"30D"}' --apply-to queues`,
    );
  return findings;
}

/** https://www.rabbitmq.com/docs/streams#retention: Y, M, D, h, m, s. */
function ageInMs(age: string): number | undefined {
  const [, count, unit = ''] = /^(\d+)([YMDhms])$/.exec(age) ?? [];
  const seconds = { Y: 365 * 86_400, M: 30 * 86_400, D: 86_400, h: 3600, m: 60, s: 1 }[unit];
  return count === undefined || seconds === undefined ? undefined : Number(count) * seconds * 1000;
}
