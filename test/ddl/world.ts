import assert from 'node:assert/strict';
import { after } from 'node:test';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import { assertEqual, schemaOf } from '../end-to-end/sides.ts';
import { type Lane, openLane } from '../fixtures/lane.ts';
import { openServer } from '../servers/clusters.ts';
import { open, run, urlWith } from '../servers/postgres.ts';

/* Lanes between two databases of one server, with one client who changes the schema. */

export const server: PostgresServer = await openServer();
after(() => server[Symbol.asyncDispose]());

let lanes = 0;

/** No two lanes of a server have the same name. */
export function laneName(): string {
  lanes += 1;
  return `lane_${lanes}`;
}

export interface World extends AsyncDisposable {
  readonly sides: { readonly primary: string; readonly secondary: string; readonly name: string };
  readonly lane: Lane;
  /** Runs each as a text of its own, as one client. */
  primary(...texts: readonly string[]): Promise<void>;
  secondary(...texts: readonly string[]): Promise<void>;
  /** From now on every table is too large for its rows to be told with a change that writes them anew. */
  tellsNoRows(): Promise<void>;
  /** All has come, and both sides are alike. */
  settles(): Promise<void>;
}

export async function openWorld(
  options: {
    readonly before?: readonly string[] | ((name: string) => readonly string[]);
    readonly wanted?: (table: { schema: string; name: string }) => boolean;
    /** Default UTF8. */
    readonly encoding?: string;
    /** Whom we are at the primary. */
    readonly as?: { user: string; password: string };
  } = {},
): Promise<World> {
  const name = laneName();
  const how = `TEMPLATE template0 ENCODING '${options.encoding ?? 'UTF8'}' LC_COLLATE 'C' LC_CTYPE 'C'`;
  await run(server.url(), `CREATE DATABASE ${name}_a ${how}`, `CREATE DATABASE ${name}_b ${how}`);
  const sides = { primary: server.url(`${name}_a`), secondary: server.url(`${name}_b`), name };
  const client = await open(sides.primary);
  await client.rows('SET search_path = public');
  const { before: texts = [] } = options;
  for (const text of typeof texts === 'function' ? texts(name) : texts) await client.rows(text);
  const ours = options.as ? urlWith(sides.primary, options.as) : sides.primary;
  const lane = openLane({ sides: { ...sides, primary: ours }, ...(options.wanted && { wanted: options.wanted }) });
  await lane.caughtUp();
  return {
    sides,
    lane,
    async primary(...texts) {
      for (const text of texts) await client.rows(text);
    },
    async secondary(...texts) {
      await run(sides.secondary, ...texts);
    },
    async tellsNoRows() {
      await client.rows(`DO $do$ BEGIN
        EXECUTE replace(pg_get_functiondef('changeover.note_ddl'::regproc), '<= 1073741824', '< 0'); END $do$`);
    },
    async settles() {
      await lane.caughtUp();
      await assertEqual(sides);
      assert.deepEqual(await schemaOf(sides.secondary, 'statements'), await schemaOf(sides.primary, 'statements'));
    },
    async [Symbol.asyncDispose]() {
      await lane[Symbol.asyncDispose]();
      await client[Symbol.asyncDispose]();
    },
  };
}
