import { randomBytes } from 'node:crypto';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '../engine/postgres/connect.ts';
import { ChangeoverError } from '../error.ts';
import { agent } from './agents.ts';
import { openGuard } from './guard.ts';
import type { Part } from './part.ts';
import { openPostgresServer, type PostgresServer } from './postgres-server.ts';
import { sampleSchema } from './schema.ts';

/** Two servers, the first with the shop in it, and two agents that do not run yet. Nothing of it is left after dispose. */
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
  readonly onDoing: (doing: string) => void;
}

const name = 'demo';

export async function openWorld({ program, clients, onDoing }: WorldOptions, signal: AbortSignal): Promise<World> {
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
  onDoing('filling the primary with a shop: 15 tables, 125,000 rows');
  for (const server of [london, dublin]) await execute(server.url(), ['create database shop'], signal);
  await execute(london.url('shop'), sampleSchema({ clients, now: new Date() }), signal);

  const [primary, secondary] = [london.url('shop'), dublin.url('shop')];
  const config = join(folder, 'changeover.yaml');
  await writeFile(config, configuration({ primary, secondary, log: join(folder, 'changeover-data') }), { mode: 0o600 });
  const agents = (['capture', 'apply'] as const).map((verb) =>
    stack.use(agent({ verb, program, config, folder, guard })),
  );
  const parts = [serverPart('primary', london), ...agents, serverPart('secondary', dublin)];
  const owned = stack.move();
  return {
    primary,
    secondary,
    slot: `changeover_${name}`,
    parts,
    async halt() {
      await Promise.allSettled([
        ...agents.map((one) => one.kill()),
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

function serverPart(part: 'primary' | 'secondary', server: PostgresServer): Part {
  return {
    name: part,
    pid: () => server.pid(),
    words: () => '',
    kill: () => server.stop('kill'),
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
  readonly log: string;
}): string => `name: ${name}
sites:
  london: { postgres: ${JSON.stringify(of.primary)} }
  dublin: { postgres: ${JSON.stringify(of.secondary)} }
primary: london
broker: { log: ${JSON.stringify(of.log)} }
`;
