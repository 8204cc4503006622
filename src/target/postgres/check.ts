import type { SourceProfile } from '../../change/profile.ts';
import {
  clockFindings,
  type Found,
  openFindings,
  refusedFinding,
  versionFindings,
} from '../../engine/postgres/access.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { type ConnectOptions, connect } from '../../engine/postgres/connect.ts';
import { sqlState } from '../../engine/postgres/failure.ts';
import { checkDatabase, checkRoles } from './check/database.ts';
import { checkExtensions } from './check/extension.ts';
import { checkPrivileges } from './check/privilege.ts';
import { checkTables } from './check/table.ts';
import { checkpointTable } from './checkpoint.ts';
import { readCheckpoint, readFacts } from './facts.ts';

export interface TargetCheckOptions {
  readonly connect: ConnectOptions;
  readonly lane: string;
  /** Undefined: the source could not be asked. */
  readonly source: SourceProfile | undefined;
  /** This machine's clock, milliseconds since 1970. */
  readonly now: () => number;
}

/** Looks at a target on a connection of its own, as a lane would open it. What keeps us out is a finding too. */
export async function checkTarget(options: TargetCheckOptions, signal: AbortSignal): Promise<readonly Found[]> {
  const { source, lane, now } = options;
  const opened = await connect(options.connect, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    return { refused: refusedFinding('TARGET', options.connect.url, error) };
  });
  if ('refused' in opened) return [opened.refused];
  await using connection = opened;
  const [[version] = []] = await connection.rows(`SELECT current_setting('server_version_num')`);
  const unsuitable = versionFindings('TARGET', Number(version));
  if (unsuitable.some((found) => found.severity === 'blocker')) return unsuitable;
  const facts = await readFacts(connection, {
    tables: [...(source?.tables ?? []), checkpointTable],
    roles: source?.roles ?? [],
  });
  return [
    ...unsuitable,
    ...openFindings(options.connect.url),
    ...checkDatabase(facts, source),
    ...checkPrivileges(facts, source),
    ...(source === undefined ? [] : checkExtensions(facts, source)),
    ...(source === undefined ? [] : checkTables(facts, source, await hasBegun(connection, lane))),
    ...checkRoles(facts),
    ...clockFindings(facts.server.clockMs, now()),
  ];
}

/** Whether what is in the tables is ours, also after a copy was given up. A checkpoint that we may not read is there: its privileges are a finding of their own. */
async function hasBegun(connection: Connection, lane: string): Promise<boolean> {
  try {
    return (await readCheckpoint(connection, lane)) !== undefined;
  } catch (error) {
    if (sqlState(error) === '42501') return true;
    throw error;
  }
}
