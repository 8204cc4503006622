import { join } from 'node:path';
import { isOnPath, type Kind } from './broker-server.ts';

export const nats: Kind = {
  missing: () => (isOnPath('nats-server') ? undefined : 'no nats-server (Debian: apt-get install nats-server)'),
  command: ({ folder, port }) => ({
    program: 'nats-server',
    arguments: ['--jetstream', '--addr', '127.0.0.1', '--port', String(port), '--store_dir', join(folder, 'data')],
  }),
  startMsMax: 20_000,
};
