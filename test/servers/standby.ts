import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import { run } from './postgres.ts';

/** Makes `standby` a physical standby of `primary` through the slot `standby`, which keeps what it lacks. It keeps the slots that are to outlive the primary. Both run before and after. */
export async function follow(standby: PostgresServer, primary: PostgresServer): Promise<void> {
  await run(primary.url(), `SELECT pg_create_physical_replication_slot('standby', true)`);
  await primary.stop('fast');
  await standby.stop('fast');
  const [from, to] = [join(primary.folder, 'data'), join(standby.folder, 'data')];
  await rm(to, { recursive: true });
  assert.equal(spawnSync('cp', ['-a', from, to]).status, 0);
  const connection = `host=127.0.0.1 port=${primary.port} user=postgres password=${primary.password} dbname=postgres`;
  await appendFile(
    join(to, 'postgresql.auto.conf'),
    `port = ${standby.port}\nprimary_conninfo = '${connection}'\nprimary_slot_name = 'standby'\nhot_standby_feedback = on\nsync_replication_slots = on\n`,
  );
  await writeFile(join(to, 'standby.signal'), '');
  await primary.start();
  await standby.start();
}
