import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ChangeoverError } from '../error.ts';
import { complaints } from './complain.ts';
import type { Configuration } from './configuration.ts';
import { crossCheck } from './cross-check.ts';
import { normalised } from './normalise.ts';
import { fileSchema } from './schema.ts';
import { secrets } from './secret.ts';
import { type Problem, readTree } from './tree.ts';

export interface LoadOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where a relative path of the file starts. Default: the working folder. */
  readonly cwd?: string;
}

export type Reading =
  | { readonly configuration: Configuration; readonly problems: readonly [] }
  | { readonly configuration: undefined; readonly problems: readonly Problem[] };

/** Reads a `changeover.yaml`. Throws CONFIG_UNREADABLE, and CONFIG_INVALID or CONFIG_SECRET_MISSING with every problem of the
 *  file, one a line, as `file:line:column key: what is wrong; what would be right`. */
export async function loadConfiguration(file: string, { env, cwd = '.' }: LoadOptions): Promise<Configuration> {
  const path = resolve(cwd, file);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const reason = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
    throw new ChangeoverError('CONFIG_UNREADABLE', `${file} cannot be read${reason}`, { cause });
  });
  const { configuration, problems } = readConfiguration(text, { env, folder: dirname(path) });
  if (configuration !== undefined) return configuration;
  const code = problems.every((problem) => problem.secretMissing) ? 'CONFIG_SECRET_MISSING' : 'CONFIG_INVALID';
  throw new ChangeoverError(code, problems.map((problem) => problemLine(file, problem)).join('\n'));
}

const problemLine = (file: string, { line, column, key, message }: Problem): string =>
  `${file}:${line}:${column} ${key === '' ? '' : `${key}: `}${message}`;

/** The configuration in `text`, as if it stood in `folder`; or all that is wrong with it, in the order of the file. */
export function readConfiguration(text: string, options: LoadOptions & { readonly folder: string }): Reading {
  const tree = readTree(text, secrets({ env: options.env, base: options.folder }));
  const parsed = tree.value === undefined ? undefined : fileSchema.safeParse(tree.value);
  const issues = parsed?.error?.issues ?? [];
  const found = [...tree.problems, ...complaints(tree, issues), ...crossCheck(tree)];
  if (tree.value === undefined && found.length === 0)
    found.push({ line: 1, column: 1, key: '', message: 'the file is empty; changeover init writes one to start from' });
  const problems = found.toSorted((a, b) => a.line - b.line || a.column - b.column);
  if (problems.length > 0 || !parsed?.success) return { configuration: undefined, problems };
  return { configuration: normalised(parsed.data, options.folder), problems: [] };
}
