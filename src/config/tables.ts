import { ChangeoverError } from '../error.ts';
import type { TableRule } from './configuration.ts';

export interface TableNamed {
  readonly schema: string;
  readonly name: string;
}

interface Pattern {
  /** Undefined: any schema. */
  readonly schema: RegExp | undefined;
  readonly name: RegExp;
}

export const patternForm = 'schema.table or table, with * for any run of characters, for example public.*';

/** Whether the table is replicated: the last rule that matches decides, and without one it is. What belongs to PostgreSQL
 *  or to Changeover itself never is, whatever the rules say. */
export function wanted(rules: readonly TableRule[], table: TableNamed): boolean {
  if (isReserved(table.schema)) return false;
  return ruleOf(rules, table)?.leaveOut !== true;
}

/** The tier that the deciding rule names. Undefined: none, or the table is not replicated. */
export const tierOf = (rules: readonly TableRule[], table: TableNamed): string | undefined =>
  wanted(rules, table) ? ruleOf(rules, table)?.tier : undefined;

/** What of the table is replicated, where that is not all of it. */
export function excerptOf(rules: readonly TableRule[], table: TableNamed) {
  const { rows, leaveOutColumns = [], masks = {} } = ruleOf(rules, table) ?? {};
  const map = new Map(Object.entries(masks));
  return rows === undefined && leaveOutColumns.length === 0 && map.size === 0
    ? undefined
    : { rows, leaveOut: leaveOutColumns, masks: map };
}

/** Stands for all that `excerptOf` answers: what is equal in it makes equal excerpts. Undefined: every table is replicated whole. */
export function excerptsText(rules: readonly TableRule[]): string | undefined {
  const first = rules.findIndex(({ rows, leaveOutColumns, masks }) => rows ?? leaveOutColumns ?? masks);
  if (first < 0) return undefined;
  return JSON.stringify(
    rules
      .slice(first)
      .map(({ match, rows, leaveOutColumns = [], masks = {} }) => [
        match,
        rows ?? null,
        leaveOutColumns.toSorted(),
        Object.entries(masks).toSorted(([a], [b]) => (a < b ? -1 : 1)),
      ]),
  );
}

/** Schemas that begin with `pg_` are reserved by PostgreSQL (temporary and TOAST schemas among them).
 *  https://www.postgresql.org/docs/current/ddl-schemas.html (The System Catalog Schema) */
const isReserved = (schema: string): boolean =>
  schema.startsWith('pg_') || schema === 'information_schema' || schema === 'changeover';

const ruleOf = (rules: readonly TableRule[], table: TableNamed): TableRule | undefined =>
  rules.findLast(({ match }) => {
    const pattern = parsePattern(match);
    if (pattern === undefined) throw new ChangeoverError('CONFIG_INVALID', `"${match}" is no pattern of tables`);
    return pattern.name.test(table.name) && (pattern.schema?.test(table.schema) ?? true);
  });

export const isPattern = (text: string): boolean => parsePattern(text) !== undefined;

/** Names are compared exactly as the catalogue spells them: nothing is folded to lower case, so `Orders` means "Orders".
 *  In double quotes `*` and `.` are themselves and `""` is a quote. */
function parsePattern(text: string): Pattern | undefined {
  const parts: string[] = [];
  let at = 0;
  for (;;) {
    const match = /(?:"((?:[^"]|"")+)"|([^".\s]+))(?=\.|$)/y;
    match.lastIndex = at;
    const found = match.exec(text);
    if (found === null) return undefined;
    const [whole, quoted, plain = ''] = found;
    parts.push(quoted === undefined ? glob(plain) : literally(quoted.replaceAll('""', '"')));
    at += whole.length;
    if (at === text.length) break;
    at += 1;
  }
  const [first, second] = parts;
  if (first === undefined || parts.length > 2) return undefined;
  const exactly = (part: string): RegExp => new RegExp(`^${part}$`, 'su');
  return second === undefined
    ? { schema: undefined, name: exactly(first) }
    : { schema: exactly(first), name: exactly(second) };
}

const glob = (text: string): string => text.split('*').map(literally).join('.*');
/** Regular-expression characters by their code points: nothing in a name can be anything but itself. */
const literally = (text: string): string =>
  text.replaceAll(/./gsu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);

/** Quotes a name so that it matches only itself. */
export const exactPattern = ({ schema, name }: TableNamed): string =>
  [schema, name].map((part) => `"${part.replaceAll('"', '""')}"`).join('.');
