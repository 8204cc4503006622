import { randomBytes } from 'node:crypto';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '../engine/postgres/connect.ts';
import { ChangeoverError } from '../error.ts';
import { agent } from './agents.ts';
import { type CarrierName, openCarrier } from './carriers.ts';
import { openGuard } from './guard.ts';
import type { Part, PartName } from './part.ts';
import { openPostgresServer, type PostgresServer } from './postgres-server.ts';
import { sampleSchema } from './schema.ts';

/** Two servers, the first with the shop in it, what carries between them, and two agents that do not run yet. Nothing of it is left after dispose. */
export interface World extends AsyncDisposable {
  /** Addresses of the shop's database on both sides. */
  readonly primary: string;
  readonly secondary: string;
  /** The replication slot that the agents use at the primary. */
  readonly slot: string;
  readonly parts: readonly Part[];
  /** Ends every process at once; the folders go with dispose. */
  halt(): Promise<void>;
}

export interface WorldOptions {
  /** `bin/changeover`. */
  readonly program: string;
  readonly clients: number;
  readonly carrier: CarrierName;
  readonly onDoing: (doing: string) => void;
}

const demo = 'demo';

export async function openWorld(
  { program, clients, carrier: carrierName, onDoing }: WorldOptions,
  signal: AbortSignal,
): Promise<World> {
  onDoing('starting two PostgreSQL servers');
  await access(program).catch((cause: unknown) => {
    throw new ChangeoverError('DEMO_FAILED', `There is no ${program} to run the agents`, { cause });
  });
  await using stack = new AsyncDisposableStack();
  const folder = join(tmpdir(), `changeover-demo-${randomBytes(6).toString('hex')}`);
  const guard = stack.use(await openGuard(folder));
  await mkdir(folder, { mode: 0o700 });
  const [london, dublin] = await openBoth(stack);
  signal.throwIfAborted();
  if (carrierName !== 'log') onDoing(`starting ${carrierName}`);
  const { plan, server: broker } = stack.use(await openCarrier(carrierName, folder));
  signal.throwIfAborted();
  onDoing('filling the primary with a shop: 15 tables, 125,000 rows');
  for (const server of [london, dublin]) await execute(server.url(), ['create database shop'], signal);
  await execute(london.url('shop'), sampleSchema({ clients, now: new Date() }), signal);

  const [primary, secondary] = [london.url('shop'), dublin.url('shop')];
  const config = join(folder, 'changeover.yaml');
  await writeFile(config, configuration({ primary, secondary, plan }), { mode: 0o600 });
  const agentOf = (verb: 'capture' | 'apply') => stack.use(agent({ verb, program, config, folder, guard }));
  const [capture, apply] = [agentOf('capture'), agentOf('apply')];
  const parts = [
    serverPart('primary', { ...london, kill: () => london.stop('kill') }),
    capture,
    ...(broker ? [serverPart('broker', broker)] : []),
    apply,
    serverPart('secondary', { ...dublin, kill: () => dublin.stop('kill') }),
  ];
  const owned = stack.move();
  return {
    primary,
    secondary,
    slot: `changeover_${demo}`,
    parts,
    async halt() {
      await Promise.allSettled([
        capture.kill(),
        apply.kill(),
        broker?.kill(),
        london.stop('immediate'),
        dublin.stop('immediate'),
      ]);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** At the same time: making a cluster takes a second or two. When one fails the other is not left behind. */
async function openBoth(stack: AsyncDisposableStack): Promise<readonly [PostgresServer, PostgresServer]> {
  const open = async (): Promise<PostgresServer> => stack.use(await openPostgresServer({ durable: true }));
  const [one, two] = await Promise.allSettled([open(), open()]);
  if (one.status === 'rejected') throw one.reason;
  if (two.status === 'rejected') throw two.reason;
  return [one.value, two.value];
}

function serverPart(name: PartName, server: Omit<Part, 'name' | 'words'>): Part {
  return {
    name,
    pid: () => server.pid(),
    words: () => '',
    kill: () => server.kill(),
    ended: () => server.ended(),
    async start() {
      if (server.pid() === undefined) await server.start();
    },
  };
}

async function execute(url: string, statements: readonly string[], signal: AbortSignal): Promise<void> {
  await using connection = await connect({ url, side: 'SOURCE', application: 'demo' }, signal);
  for (const statement of statements) await connection.rows(statement);
}

const configuration = (of: {
  readonly primary: string;
  readonly secondary: string;
  readonly plan: object;
}): string => `name: ${demo}
sites:
  london: { postgres: ${JSON.stringify(of.primary)} }
  dublin: { postgres: ${JSON.stringify(of.secondary)} }
primary: london
broker: ${JSON.stringify(of.plan)}
`;
