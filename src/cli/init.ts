import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultFile } from '../config/find.ts';
import { template } from '../config/template.ts';
import { ChangeoverError } from '../error.ts';
import { outJson, type Session } from './desk.ts';
import type { ExitCode } from './failure.ts';

export interface InitOptions {
  readonly force?: true;
  readonly json?: true;
}

export async function init({ desk }: Session, { force, json }: InitOptions): Promise<ExitCode> {
  try {
    await writeFile(join(desk.cwd, defaultFile), template(), { flag: force ? 'w' : 'wx' });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'EEXIST')
      throw new ChangeoverError('CLI_REFUSED', `${defaultFile} is there already`, {
        cause,
        hint: 'changeover init --force replaces it.',
      });
    throw new ChangeoverError('CONFIG_UNREADABLE', `${defaultFile} cannot be written (${String(code)})`, { cause });
  }
  if (json) outJson(desk, { schema: 'changeover.init/1', file: defaultFile });
  else desk.out(`WRITTEN: ${defaultFile}\n\n  Fill in the sites, then: changeover check, changeover run.\n`);
  return 0;
}
