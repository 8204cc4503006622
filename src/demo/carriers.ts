import { join } from 'node:path';
import { ChangeoverError } from '../error.ts';
import { type BrokerServer, type Kind, openBrokerServer } from './broker-server.ts';
import { kafka } from './kafka.ts';
import { nats } from './nats.ts';
import { rabbitmq } from './rabbitmq.ts';

export const carrierNames = ['log', 'kafka', 'rabbitmq', 'nats'] as const;
/** What carries the changes in a demo. `log`: the embedded one, files that no process of its own keeps. */
export type CarrierName = (typeof carrierNames)[number];

interface Remote {
  readonly kind: Kind;
  /** What stands under `broker:`. */
  readonly plan: (port: number) => object;
}

const remotes: Readonly<Record<Exclude<CarrierName, 'log'>, Remote>> = {
  kafka: { kind: kafka, plan: (port) => ({ kafka: { bootstrap: `127.0.0.1:${port}`, topic: 'demo' } }) },
  rabbitmq: {
    kind: rabbitmq,
    plan: (port) => ({ rabbitmq: { url: `amqp://guest:guest@127.0.0.1:${port}`, stream: 'demo' } }),
  },
  nats: { kind: nats, plan: (port) => ({ nats: { servers: `nats://127.0.0.1:${port}`, stream: 'demo' } }) },
};

export function carrierName(text: string): CarrierName {
  const name = carrierNames.find((one) => one === text);
  if (name) return name;
  throw new ChangeoverError('CLI_USAGE', `There is no broker ${text}`, {
    hint: `Brokers: ${carrierNames.join(', ')}.`,
  });
}

/** Throws CLI_USAGE, which says what to install, where the server is not here. */
export function demandInstalled(name: CarrierName): void {
  const missing = name === 'log' ? undefined : remotes[name].kind.missing();
  if (missing === undefined) return;
  throw new ChangeoverError('CLI_USAGE', `The demo cannot start ${name} here: ${missing}`, {
    hint: 'Install it, or show the embedded log: changeover demo --broker log',
  });
}

/** What carries the changes, and how the configuration calls it. Dispose ends its server, if it has one. */
export interface CarrierAtWork extends AsyncDisposable {
  readonly plan: object;
  readonly server: BrokerServer | undefined;
}

/** `folder`: where the embedded log goes; a server has a folder of its own. */
export async function openCarrier(name: CarrierName, folder: string): Promise<CarrierAtWork> {
  if (name === 'log')
    return { plan: { log: join(folder, 'changeover-data') }, server: undefined, async [Symbol.asyncDispose]() {} };
  const { kind, plan } = remotes[name];
  const server = await openBrokerServer(kind);
  return { plan: plan(server.port), server, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}
