import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';
import type { PostgresServer, PostgresServerOptions } from '../../src/demo/postgres-server.ts';
import { type Connection, connect } from '../../src/engine/postgres/connect.ts';
import { openServer } from './clusters.ts';

/** An older PostgreSQL where Debian puts it. Nothing brings it: without it its tests say that they were skipped. */
const olderHome = '/usr/lib/postgresql/15';

export const generations = ['PostgreSQL 18', 'PostgreSQL 15'] as const;
export type Generation = (typeof generations)[number];

/** Undefined after it has told `t` to skip. */
export async function serverOf(
  generation: Generation,
  t: TestContext,
  settings: Readonly<Record<string, string>> = {},
  more: Omit<PostgresServerOptions, 'settings' | 'home'> = {},
): Promise<PostgresServer | undefined> {
  if (generation === 'PostgreSQL 18') return openServer({ ...more, settings });
  if (existsSync(olderHome)) return openServer({ ...more, settings, home: olderHome });
  // Where everything is meant to be there, nothing may be missing unseen.
  assert.ok(process.env.CI !== 'true', `CI must bring PostgreSQL 15 in ${olderHome}`);
  t.skip(`no PostgreSQL in ${olderHome}`);
  return undefined;
}

export const never = new AbortController().signal;

export const open = (url: string): Promise<Connection> => connect({ url, side: 'SOURCE', application: 'test' }, never);

/** Runs each text for itself, outside a transaction, and returns the rows of the last. */
export async function run(
  url: string,
  ...statements: readonly string[]
): Promise<readonly (readonly (string | null)[])[]> {
  await using connection = await open(url);
  let rows: readonly (readonly (string | null)[])[] = [];
  for (const statement of statements) rows = await connection.rows(statement);
  return rows;
}

/** Does what a person with psql does with a cure: statement by statement, comments skipped. A statement ends where a line ends
 *  with a semicolon. */
export const paste = (url: string, cure: string | undefined): Promise<unknown> =>
  run(
    url,
    ...(cure ?? '')
      .split('\n')
      .filter((line) => !line.startsWith('--'))
      .join('\n')
      .split(/;[ ]*(?:--.*)?$/m)
      .map((statement) => statement.trim())
      .filter(Boolean),
  );

/** The address with another role, database or password. */
export function urlWith(url: string, change: { user?: string; password?: string; database?: string }): string {
  const changed = new URL(url);
  if (change.user !== undefined) changed.username = change.user;
  if (change.password !== undefined) changed.password = change.password;
  if (change.database !== undefined) changed.pathname = `/${change.database}`;
  return changed.href;
}
