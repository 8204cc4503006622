import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Kind, takesConnections } from './broker-server.ts';

/** The one beside it on the path changes to a user of its own. */
const program = '/usr/lib/rabbitmq/bin/rabbitmq-server';

export const rabbitmq: Kind = {
  missing: () => (existsSync(program) ? undefined : 'no RabbitMQ (Debian: apt-get install rabbitmq-server)'),
  async prepare({ folder, port }) {
    await mkdir(join(folder, 'home'), { recursive: true });
    await writeFile(join(folder, 'plugins'), '[].\n');
    await writeFile(
      join(folder, 'rabbitmq.conf'),
      `listeners.tcp.1 = 127.0.0.1:${port}\ndisk_free_limit.absolute = 50MB\n`,
    );
  },
  command: ({ folder, others: [names = 0, distribution = 0] }) => ({
    // Its own name server, in the same group of processes: the one that Erlang starts by itself would outlive us.
    program: '/bin/sh',
    arguments: ['-c', `epmd -address 127.0.0.1 -port ${names} & exec ${program}`],
    environment: {
      HOME: join(folder, 'home'),
      ERL_EPMD_PORT: String(names),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      // A copy of the folder is the same node: its data are filed under that name.
      RABBITMQ_NODENAME: 'changeover@localhost',
      RABBITMQ_DIST_PORT: String(distribution),
      RABBITMQ_MNESIA_BASE: join(folder, 'data'),
      RABBITMQ_LOG_BASE: join(folder, 'log'),
      RABBITMQ_LOGS: '-',
      RABBITMQ_PID_FILE: join(folder, 'pid'),
      RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq'),
      RABBITMQ_CONF_ENV_FILE: join(folder, 'none'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    },
  }),
  isReady: takesConnections,
  otherPorts: 2,
  startMsMax: 120_000,
};
