import { spawnSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { isOnPath, type Kind, type Place, takesConnections } from './broker-server.ts';

/** Where test/servers/kafka-fetch puts the server: it has no package, and comes from its Maven artifacts. */
const jars =
  process.env.CHANGEOVER_KAFKA ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'changeover', 'kafka');

const java = ['-Xmx384m', '-Xshare:auto', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', join(jars, '*')];

export const kafka: Kind = {
  missing() {
    if (!isOnPath('java')) return 'no java (Debian: apt-get install openjdk-17-jre-headless)';
    return globSync(join(jars, 'kafka_2.13-*.jar')).length > 0
      ? undefined
      : `no Kafka in ${jars} (fetch it: test/servers/kafka-fetch)`;
  },
  async prepare(place) {
    await writeFile(join(place.folder, 'server.properties'), properties(place));
    if (existsSync(join(place.folder, 'data', 'meta.properties'))) return;
    const format = [
      'format',
      '--cluster-id',
      'Y2hhbmdlb3Zlci1rZmthMQ',
      '--config',
      join(place.folder, 'server.properties'),
    ];
    const done = spawnSync('java', [...java, 'kafka.tools.StorageTool', ...format], { encoding: 'utf8' });
    if (done.status !== 0) throw new RangeError(`Kafka's storage cannot be made: ${done.stdout}${done.stderr}`);
  },
  command: ({ folder }) => ({
    program: 'java',
    arguments: [...java, 'kafka.Kafka', join(folder, 'server.properties')],
  }),
  isReady: takesConnections,
  otherPorts: 1,
  startMsMax: 90_000,
};

/** One node that is broker and controller at once. */
const properties = ({ folder, port, others: [controller = 0] }: Place): string => `
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
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
`;
