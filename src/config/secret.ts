import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pageAt } from './schema.ts';
import type { Resolved, Resolver } from './tree.ts';

export interface SecretsOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where relative paths start. */
  readonly base: string;
}

/** Fetches what a configuration does not hold itself: variables of the environment, and the files of secrets. */
export const secrets = ({ env, base }: SecretsOptions): Resolver => ({
  scalar: (text) => variables(text, env),
  file: (path, name) => (pageAt(path)?.secret ? content(resolve(base, name), name) : undefined),
});

/** Replaces `${NAME}` and `${NAME:-default}`; `$${` stands for `${`. As in a shell, `:-` also replaces an empty variable. */
function variables(text: string, env: SecretsOptions['env']): Resolved {
  const missing: string[] = [];
  const value = text.replaceAll(/\$\$\{|\$\{([^}]*)\}/g, (whole, inner?: string) => {
    if (inner === undefined) return '${';
    const [, name, fallback] = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(inner) ?? [];
    if (name === undefined) {
      missing.push(`"${whole}" names no variable; write \${NAME} or \${NAME:-default}`);
      return '';
    }
    const found = env[name] || fallback;
    if (found === undefined) missing.push(unset(name, env[name]));
    return found ?? '';
  });
  return missing.length > 0 ? { missing } : { value };
}

const unset = (name: string, value: string | undefined): string =>
  `the environment variable ${name} is ${value === undefined ? 'not set' : 'empty'}; set it, or write \${${name}:-default}`;

/** Synchronous, because the tree is walked synchronously: a secret is one small file. */
function content(file: string, name: string): Resolved {
  try {
    return { value: readFileSync(file, 'utf8').replace(/\r?\n$/, '') };
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    return { missing: [`the file ${name} cannot be read (${reason}); check its path and its permissions`] };
  }
}
