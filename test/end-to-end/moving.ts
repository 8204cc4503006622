import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import { type Connection, connect } from '../../src/engine/postgres/connect.ts';
import { openServer } from '../servers/clusters.ts';
import { open, run, urlWith } from '../servers/postgres.ts';
import { type Desk, openDesk, type Running, until } from './program.ts';

/* Two sites of a shop, an application that logs in as a role of its own, and clients that note what they were told is committed. */

const schema = [
  `CREATE TABLE public.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, client int NOT NULL, n int NOT NULL, UNIQUE (client, n))`,
  `CREATE SEQUENCE public.ticket`,
  `CREATE TABLE public.line (order_id bigint NOT NULL REFERENCES public.orders, ticket bigint NOT NULL UNIQUE)`,
];
const grants = [
  'GRANT SELECT, INSERT, UPDATE, DELETE ON public.orders, public.line TO app',
  'GRANT USAGE ON public.ticket TO app',
];

export interface Shop extends AsyncDisposable {
  readonly servers: Readonly<Record<SiteName, PostgresServer>>;
  readonly desk: Desk;
  /** As the superuser that Changeover logs in as. */
  readonly admin: (site: SiteName) => string;
  /** As the application. */
  readonly app: (site: SiteName) => string;
  /** Starts `changeover run`; resolves when the secondary is in step, and shut to the application. */
  readonly begin: () => Promise<Running>;
}

export type SiteName = 'london' | 'dublin';
const siteNames = ['london', 'dublin'] as const;

/** A lane of its own; the copy is whole once this resolves, and nothing runs. */
export async function openShop(): Promise<Shop> {
  await using opened = new AsyncDisposableStack();
  const [london, dublin] = [opened.use(await openServer()), opened.use(await openServer())];
  const servers = { london, dublin };
  const desk = opened.use(await openDesk());
  const admin = (site: SiteName): string => servers[site].url();
  const app = (site: SiteName): string => urlWith(admin(site), { user: 'app', password: 'sesame' });
  for (const site of siteNames) await run(admin(site), `CREATE ROLE app LOGIN PASSWORD 'sesame' CONNECTION LIMIT 50`);
  await run(admin('london'), ...schema, ...grants);
  const sites = siteNames.map((site) => `  ${site}: { postgres: "${admin(site)}", canary: "${app(site)}" }`);
  const file = [
    'name: shop',
    'sites:',
    ...sites,
    'primary: london',
    'guard: true',
    'broker: { log: ./data }',
    'heartbeat: 200ms',
  ];
  await writeFile(join(desk.folder, 'changeover.yaml'), `${file.join('\n')}\n`);
  const begin = async (): Promise<Running> => {
    const running = desk.start('run');
    await running.says(/apply \w+: running/);
    await desk.caughtUp();
    await until('the secondary is shut', async () => {
      const ways = await Promise.all(
        siteNames.map((site) => run(admin(site), "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'app'")),
      );
      return ways.filter(([row]) => row?.[0] === 'f').length === 1;
    });
    return running;
  };
  const kept = opened.move();
  return { servers, desk, admin, app, begin, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** What a client was told. */
export interface Acknowledged {
  readonly client: number;
  readonly n: number;
  readonly id: string;
  readonly ticket: string;
  /** By this machine's clock, before the commit was sent. */
  readonly sentAtMs: number;
}

/** Between the orders of a client: what is tried is the lead, not the throughput. */
const pauseMs = 5;

/** Clients that order again and again from whichever site lets them in, as an application with both addresses does. */
export class Clients implements AsyncDisposable {
  readonly acknowledged: Acknowledged[] = [];
  /** Numbers that were handed out a second time. */
  doubles = 0;
  /** The longest that no client was served, in milliseconds. */
  longestMs = 0;
  #lastMs = performance.now();
  readonly #stop = new AbortController();
  readonly #working: readonly Promise<void>[];

  /** `first`: the number of the first of them; no two of a shop have the same. */
  constructor(shop: Pick<Shop, 'app'>, count = 3, first = 0) {
    this.#working = Array.from({ length: count }, (_, index) => this.#work(shop, first + index));
  }

  /** Resolves once so many more orders were acknowledged. */
  async served(more: number): Promise<void> {
    const goal = this.acknowledged.length + more;
    const untilMs = performance.now() + 60_000;
    while (this.acknowledged.length < goal) {
      assert.ok(performance.now() < untilMs, 'No client is served any more');
      await sleep(10);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#working);
  }

  async #work({ app }: Pick<Shop, 'app'>, client: number): Promise<void> {
    const { signal } = this.#stop;
    for (let turn = client, n = 0; !signal.aborted; turn += 1) {
      try {
        const site = siteNames[turn % 2] ?? 'london';
        await using connection = await connect({ url: app(site), side: 'SOURCE', application: 'shop' }, signal);
        for (; !signal.aborted; n += 1) {
          await this.#order(connection, client, n);
          await sleep(pauseMs, undefined, { signal });
        }
      } catch (error) {
        if (error instanceof Error && error.message.includes('duplicate key')) this.doubles += 1;
        // Shut out, cut off or down: the other site is asked. Whether the last order came through, nobody told.
        n += 1;
        await sleep(5, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #order(connection: Connection, client: number, n: number): Promise<void> {
    await connection.rows('BEGIN');
    const [order] = await connection.rows('INSERT INTO public.orders (client, n) VALUES ($1, $2) RETURNING id', [
      client,
      n,
    ]);
    const [line] = await connection.rows(
      `INSERT INTO public.line VALUES ($1, nextval('public.ticket')) RETURNING ticket`,
      [order?.[0]],
    );
    const sentAtMs = Date.now();
    await connection.rows('COMMIT');
    const nowMs = performance.now();
    this.longestMs = Math.max(this.longestMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    this.acknowledged.push({ client, n, id: order?.[0] ?? '', ticket: line?.[0] ?? '', sentAtMs });
  }
}

/** The acknowledged orders that a site does not have. */
export async function missingAt(url: string, acknowledged: readonly Acknowledged[]): Promise<readonly Acknowledged[]> {
  await using connection = await open(url);
  const rows = await connection.rows(
    'SELECT o.client, o.n, o.id, l.ticket FROM public.orders o JOIN public.line l ON l.order_id = o.id',
  );
  const there = new Set(rows.map((row) => row.join(' ')));
  return acknowledged.filter(({ client, n, id, ticket }) => !there.has([client, n, id, ticket].join(' ')));
}
