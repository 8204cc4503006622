import { statementsOf, type Token, tokensOf } from './tokens.ts';

/** One statement out of a text. */
export interface Statement {
  readonly sql: string;
  readonly tokens: readonly Token[];
}

/** Whether it is one of these keywords, and no quoted name. */
export const isWord = (token: Token | undefined, ...words: readonly string[]): boolean =>
  token?.kind === 'word' && words.includes(token.value);

/** The statement, where the text holds one alone. */
export function soleStatement(sql: string, options: { readonly backslashes: boolean }): Statement | undefined {
  const tokens = tokensOf(sql, options);
  const all = tokens && statementsOf(tokens);
  return all?.length === 1 && all[0] ? statementOf(sql, all[0]) : undefined;
}

/** The `place`th statement with this command tag of a text of several. Undefined where that cannot be told: a text with
 *  ROLLBACK has commands that took no effect. */
export function statementAt(
  sql: string,
  { tag, place, backslashes }: { readonly tag: string; readonly place: number; readonly backslashes: boolean },
): Statement | undefined {
  const tokens = tokensOf(sql, { backslashes });
  if (!tokens) return undefined;
  const all = statementsOf(tokens);
  const alike = all.filter((statement) => hasTag(statement, tag));
  const isCertain = alike.length === 1 || !all.some(([first]) => isWord(first, 'rollback', 'abort'));
  const found = isCertain ? alike[place - 1] : undefined;
  return found && statementOf(sql, found);
}

/** Anew, so that places count from the beginning of the statement. */
function statementOf(sql: string, tokens: readonly Token[]): Statement {
  const from = tokens[0]?.from ?? 0;
  const to = tokens.at(-1)?.to ?? 0;
  return {
    sql: sql.slice(from, to),
    tokens: tokens.map((token) => ({ ...token, from: token.from - from, to: token.to - from })),
  };
}

/** Words that may stand between CREATE and the kind of object. */
const adjectives = new Set(
  'or replace unique unlogged constraint recursive trusted procedural default temp temporary global local'.split(' '),
);
/** About objects of the whole cluster, of which no event trigger tells. */
const clusterWide = new Set(['database', 'role', 'tablespace', 'user', 'group', 'system', 'event']);

/** Whether the statement is one of this command tag. https://www.postgresql.org/docs/current/event-trigger-matrix.html */
function hasTag(tokens: readonly Token[], tag: string): boolean {
  const [verb = '', ...kind] = tag.toLowerCase().split(' ');
  if (tag === 'SELECT INTO') return isWord(tokens[0], 'select', 'with');
  if (!isWord(tokens[0], verb)) return false;
  if (verb === 'grant' || verb === 'revoke') return tokens.some((token) => isWord(token, 'on') && token.depth === 0);
  if (verb === 'comment') return !clusterWide.has(tokens[2]?.value ?? '');
  if (verb !== 'create' && verb !== 'alter') return true;
  const rest = verb === 'create' ? tokens.slice(1).filter((_token, at, all) => !isAdjective(all, at)) : tokens.slice(1);
  const isSame = (words: readonly string[]): boolean => words.every((word, at) => isWord(rest[at], word));
  const asQuery = rest.some((token) => isWord(token, 'as') && token.depth === 0);
  if (tag === 'CREATE TABLE') return isSame(['table']) && !asQuery;
  if (tag === 'CREATE TABLE AS') return isSame(['table']) && asQuery;
  if (tag.endsWith(' OPERATOR') && isWord(rest[1], 'class', 'family')) return false;
  return isSame(kind);
}

const isAdjective = (tokens: readonly Token[], at: number): boolean =>
  tokens.slice(0, at + 1).every((token) => token.kind === 'word' && adjectives.has(token.value));
