import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ChangeoverError } from '../error.ts';
import type { Configuration } from './configuration.ts';
import { loadConfiguration } from './load.ts';
import { loadReplicate, replicateFile } from './replicate.ts';

export interface FindOptions {
  /** The file that was asked for. */
  readonly file: string | undefined;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export const defaultFile = 'changeover.yaml';
export const defaultFolder = 'changeover-data';

/** The configuration that a command means: the file asked for, else `changeover.yaml` here, else what `changeover replicate`
 *  left in `changeover-data` here. Throws CLI_NOTHING_HERE, and what loading throws. */
export async function findConfiguration({ file, cwd, env }: FindOptions): Promise<Configuration> {
  if (file !== undefined)
    return file.endsWith('.json') ? loadReplicate(resolve(cwd, file)) : loadConfiguration(file, { env, cwd });
  if (existsSync(join(cwd, defaultFile))) return loadConfiguration(defaultFile, { env, cwd });
  const saved = replicateFile(join(cwd, defaultFolder));
  if (existsSync(saved)) return loadReplicate(saved);
  throw new ChangeoverError('CLI_NOTHING_HERE', `There is no ${defaultFile} and no ${defaultFolder} in ${cwd}`);
}
