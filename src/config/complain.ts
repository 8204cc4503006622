import type { z } from 'zod';
import { nearest } from './nearest.ts';
import { keysAt, pageAt } from './schema.ts';
import { absent, keyOf, type Path, type Problem, type Tree } from './tree.ts';

/** Parts of the plan that this version does not have yet: better told so than called a slip of the pen. */
const later: Readonly<Record<string, string>> = {
  mysql: 'this version replicates PostgreSQL only; take this site out',
  mariadb: 'this version replicates PostgreSQL only; take this site out',
  duckdb: 'this version replicates PostgreSQL only; take this site out',
};

/** What the schema objects to, in words that say what would be right. */
export function complaints(tree: Tree, issues: readonly z.core.$ZodIssue[]): readonly Problem[] {
  const unknown = issues.filter((issue) => issue.code === 'unrecognized_keys');
  const engineless = new Set(
    unknown
      .filter((issue) => issue.keys.some((key) => key in later || key.includes('://')))
      .map((issue) => keyOf(issue.path)),
  );
  return issues.flatMap((issue): readonly Problem[] => {
    const path = issue.path.filter((part) => typeof part !== 'symbol');
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(tree, path, key));
    // The site of another engine lacks `postgres`, but that is not what is wrong with it.
    if (engineless.has(keyOf(path.slice(0, -1))) && !tree.has(path)) return [];
    if (valueIn(tree.value, path) === absent) return [];
    const key = keyOf(path);
    if (!tree.has(path)) return [{ ...tree.valueAt(path), key, message: `is missing; write ${right(path)}` }];
    // A name chosen by the user that is no name: the key is the place.
    if (issue.code === 'invalid_key')
      return [{ ...tree.keyAt(path), key, message: issue.issues[0]?.message ?? 'is no name' }];
    return [{ ...tree.valueAt(path), key, message: `${quote(tree, path)}${sentence(issue, path)}` }];
  });
}

/** Our own checks speak for themselves; what the library finds is said by the option's page. */
const sentence = (issue: z.core.$ZodIssue, path: Path): string =>
  issue.code === 'custom' || issue.code === 'invalid_format'
    ? issue.message
    : `is not what belongs here; write ${right(path)}`;

const right = (path: Path): string => pageAt(path)?.right ?? shapeAt(path);

const shapeAt = (path: Path): string => {
  const keys = keysAt(path);
  return keys.length > 0 ? `a mapping with ${keys.join(', ')}` : 'a value';
};

/** The value as written, where it is one and cannot be a secret. */
const quote = (tree: Tree, path: Path): string => {
  const written = pageAt(path)?.secret ? undefined : tree.writtenAt(path);
  return written === undefined || written === '' ? '' : `"${written}" `;
};

function unknownKey(tree: Tree, path: Path, key: string): Problem {
  const at = tree.keyAt([...path, key]);
  const full = keyOf([...path, key]);
  // `london: { postgres://... }` makes the whole address a key, password included.
  if (key.includes('://'))
    return {
      ...at,
      key: keyOf(path),
      message: `an address stands where a key should; write ${right([...path, 'postgres'])} after postgres:`,
    };
  const known = keysAt(path);
  const why = Object.hasOwn(later, key) ? later[key] : undefined;
  if (why !== undefined) return { ...at, key: full, message: why };
  const meant = nearest(key, known);
  const message =
    meant === undefined
      ? `is not known here; known are ${known.join(', ')}`
      : `is not known here; did you mean ${meant}?`;
  return { ...at, key: full, message };
}

/** The plain value at a path; undefined where there is none. */
export function valueIn(value: unknown, path: Path): unknown {
  let found = value;
  for (const part of path) {
    if (typeof found !== 'object' || found === null) return undefined;
    found = (found as Record<string | number, unknown>)[part];
  }
  return found;
}
