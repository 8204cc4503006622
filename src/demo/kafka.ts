import { spawnSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ChangeoverError } from '../error.ts';
import { isOnPath, type Kind, type Place, takesConnections } from './broker-server.ts';

/** Where test/servers/kafka-fetch puts the server: it has no package, and comes from its Maven artifacts. */
const jars =
  process.env.CHANGEOVER_KAFKA ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'changeover', 'kafka');

const java = ['-Xmx384m', '-Xshare:auto', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', join(jars, '*')];

/** A further way in, beside the open one. */
export interface Listener {
  /** Small letters. */
  readonly name: string;
  readonly protocol: 'SSL' | 'SASL_SSL';
  /** Of this listener alone. */
  readonly settings: Readonly<Record<string, string>>;
}

interface Server {
  /** At `place.others`, from the second of them on. */
  readonly listeners: readonly Listener[];
  /** Further words for kafka-storage format. */
  readonly format?: readonly string[];
}

export const kafka: Kind = kafkaWith({ listeners: [] });

export function kafkaWith({ listeners, format: words = [] }: Server): Kind {
  return {
    missing() {
      if (!isOnPath('java')) return 'no java (Debian: apt-get install openjdk-17-jre-headless)';
      return globSync(join(jars, 'kafka_2.13-*.jar')).length > 0
        ? undefined
        : `no Kafka in ${jars} (fetch it: test/servers/kafka-fetch)`;
    },
    async prepare(place) {
      await writeFile(join(place.folder, 'server.properties'), properties(place, listeners));
      if (existsSync(join(place.folder, 'data', 'meta.properties'))) return;
      const format = [
        'format',
        '--cluster-id',
        'Y2hhbmdlb3Zlci1rZmthMQ',
        '--config',
        join(place.folder, 'server.properties'),
        ...words,
      ];
      const done = spawnSync('java', [...java, 'kafka.tools.StorageTool', ...format], { encoding: 'utf8' });
      if (done.status !== 0)
        throw new ChangeoverError('DEMO_FAILED', `Kafka's storage cannot be made: ${done.stdout}${done.stderr}`);
    },
    command: ({ folder }) => ({
      program: 'java',
      arguments: [...java, 'kafka.Kafka', join(folder, 'server.properties')],
    }),
    isReady: takesConnections,
    otherPorts: 1 + listeners.length,
    startMsMax: 90_000,
  };
}

/** One node that is broker and controller at once. */
function properties(
  { folder, port, others: [controller = 0, ...ports] }: Place,
  listeners: readonly Listener[],
): string {
  const open = `PLAINTEXT://127.0.0.1:${port}`;
  const further = listeners.map(({ name }, index) => `,${name.toUpperCase()}://localhost:${ports[index]}`).join('');
  const protocols = listeners.map(({ name, protocol }) => `,${name.toUpperCase()}:${protocol}`).join('');
  const settings = listeners.flatMap(({ name, settings }) =>
    Object.entries(settings).map(([key, value]) => `listener.name.${name}.${key}=${value}\n`),
  );
  return `
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controller}
controller.listener.names=CONTROLLER
listeners=${open},CONTROLLER://127.0.0.1:${controller}${further}
advertised.listeners=${open}${further}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT${protocols}
log.dirs=${join(folder, 'data')}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
controller.quorum.election.timeout.ms=200
controller.quorum.fetch.timeout.ms=400
controller.quorum.election.backoff.max.ms=100
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=2000000
${settings.join('')}`;
}
