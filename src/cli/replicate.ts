import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Configuration } from '../config/configuration.ts';
import { configurationFromUrls, loadReplicate, replicateFile, saveReplicate } from '../config/replicate.ts';
import { ChangeoverError } from '../error.ts';
import type { Session } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { work } from './run.ts';

export interface ReplicateArguments {
  readonly from?: string;
  readonly to?: string;
  readonly tables?: readonly string[];
  readonly leaveOut?: readonly string[];
  readonly folder: string;
  readonly name?: string;
  readonly restart?: true;
  readonly json?: true;
}

export async function replicate(session: Session, options: ReplicateArguments): Promise<ExitCode> {
  const configuration = await planned(session, options);
  await saveReplicate(configuration);
  const { restart, json } = options;
  return work(session, configuration, {
    roles: ['capture', 'apply'],
    ...(restart && { restart }),
    ...(json && { json }),
  });
}

async function planned(
  { desk }: Session,
  { from, to, restart, ...options }: ReplicateArguments,
): Promise<Configuration> {
  const folder = resolve(desk.cwd, options.folder);
  const saved = existsSync(replicateFile(folder)) ? await loadReplicate(replicateFile(folder)) : undefined;
  if (from === undefined || to === undefined) {
    if (from === undefined && saved !== undefined && !hasTables(options)) return saved;
    throw new ChangeoverError('CLI_USAGE', 'Two addresses are needed: where to copy from, and where to', {
      hint: 'Example: changeover replicate postgres://app@london/shop postgres://app@dublin/shop',
    });
  }
  const name = options.name ?? saved?.name;
  const plan = configurationFromUrls(from, to, {
    folder,
    ...(name !== undefined && { name }),
    ...(options.tables && { only: options.tables }),
    ...(options.leaveOut && { leaveOut: options.leaveOut }),
  });
  if (saved === undefined || restart) return plan;
  // What is resumed continues the copy that was begun: other tables would be missing their past, and nobody would notice.
  const resumed = hasTables(options) ? plan : { ...plan, tables: saved.tables };
  if (isDeepStrictEqual(resumed.tables, saved.tables) && resumed.name === saved.name) return resumed;
  throw new ChangeoverError(
    'CLI_REFUSED',
    `${options.folder} holds a copy that was begun with other tables or another name`,
    {
      hint: 'Leave the options away to resume it; add --restart to begin with a new copy; or give another --folder and --name.',
    },
  );
}

const hasTables = ({ tables, leaveOut }: Pick<ReplicateArguments, 'tables' | 'leaveOut'>): boolean =>
  tables !== undefined || leaveOut !== undefined;
