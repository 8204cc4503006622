import { type Table, tableName } from '../change/table.ts';
import { countWords, durationWords } from '../control/words.ts';
import type { Difference } from '../verify/difference.ts';
import type { TableVerdict } from '../verify/verify.ts';
import { tame } from './desk.ts';

/* What was found out by comparing rows, in words and as JSON. */

export type Verdict = 'EQUAL' | 'DIFFERS' | 'NOT CHECKED';

/** What was found out of one secondary. */
export interface Finding {
  readonly site: string;
  readonly verdicts: readonly TableVerdict[];
}

/** Never better than what was checked (invariant 12). */
export function verdictOf(verdicts: readonly TableVerdict[]): Verdict {
  if (verdicts.some(({ verdict }) => verdict === 'differs')) return 'DIFFERS';
  return verdicts.length === 0 || verdicts.some(({ verdict }) => verdict === 'not checked') ? 'NOT CHECKED' : 'EQUAL';
}

/** The verdict, its coverage, its position and its age. */
export function sentenceOf(primary: string, { site, verdicts }: Finding, nowMs: number): string {
  const [first] = verdicts;
  if (!first) return `no table of ${primary} was compared with ${site}`;
  const rows = verdicts.reduce((sum, one) => sum + (one.verdict === 'not checked' ? 0 : one.found.rows), 0);
  const coverage = `${countWords(verdicts.length, 'table', 'tables')} of ${first.of} (${countWords(rows, 'row', 'rows')})`;
  const tokens = [...new Set(verdicts.map(({ position }) => position.token))];
  const age = durationWords(nowMs - first.atMs);
  const as =
    tokens.length === 1 ? `as of ${tokens[0]}, ${age} ago` : `as of ${tokens[0]} to ${tokens.at(-1)}, since ${age}`;
  const differ = verdicts.filter(({ verdict }) => verdict === 'differs').length;
  const unchecked = verdicts.filter(({ verdict }) => verdict === 'not checked').length;
  const but = unchecked > 0 ? `; ${countWords(unchecked, 'table was', 'tables were')} not compared` : '';
  if (differ > 0) return `${site} differs from ${primary} in ${differ} of ${coverage} ${as}${but}`;
  return unchecked === verdicts.length
    ? `nothing of ${coverage} could be compared${but}`
    : `${site} equals ${primary} in ${coverage} ${as}${but}`;
}

const kinds = ['missing', 'extra', 'different'] as const;

export function countsOf(differences: readonly Difference[]): Readonly<Record<Difference['kind'], number>> {
  const counts = { missing: 0, extra: 0, different: 0 };
  for (const { kind, rows } of differences) counts[kind] += rows;
  return counts;
}

export function tableWords(verdict: TableVerdict): string {
  if (verdict.verdict === 'not checked') return `not compared: ${tame(verdict.why)}`;
  const { found } = verdict;
  const rows = countWords(found.rows, 'row', 'rows');
  if (verdict.verdict === 'equal') return rows;
  if (found.lacks !== undefined) return `${rows}; the secondary lacks ${found.lacks}`;
  const counts = countsOf(found.differences);
  const words = kinds.filter((kind) => counts[kind] > 0).map((kind) => countWords(counts[kind], kind, kind));
  return `${rows}; at the secondary ${words.join(', ')}${found.isAll ? '' : ', at least'}`;
}

/** Rows that are named, at the most. */
export const namedMax = 20;

export interface NamedRow {
  readonly kind: Difference['kind'];
  /** By column. Empty where the table has no key. */
  readonly key: Readonly<Record<string, string>>;
  readonly rows: number;
  readonly columns: readonly string[];
  /** By column, where values were asked for. */
  readonly primary: Readonly<Record<string, string | null>> | null;
  readonly secondary: Readonly<Record<string, string | null>> | null;
}

export function namedRows(verdict: TableVerdict, withValues: boolean): readonly NamedRow[] {
  if (verdict.verdict !== 'differs') return [];
  const { carried, found, columns } = verdict;
  const known = new Map(columns.map((one) => [JSON.stringify(one.key), one.columns]));
  return found.differences.slice(0, namedMax).map(({ kind, key, rows }) => {
    const of = (kind === 'different' && known.get(JSON.stringify(key))) || [];
    const values = (side: 'primary' | 'secondary') =>
      withValues && kind === 'different' ? Object.fromEntries(of.map((one) => [one.name, one[side]])) : null;
    return {
      kind,
      key: keyOf(carried.table, key),
      rows,
      columns: of.map(({ name }) => name),
      primary: values('primary'),
      secondary: values('secondary'),
    };
  });
}

const keyOf = (table: Table, key: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(
    table.columns
      .filter((column) => column.key)
      .flatMap(({ name }, place) => {
        const text = key[place];
        return text === undefined ? [] : [[name, text]];
      }),
  );

export const tableJson = (verdict: TableVerdict, withValues: boolean): unknown => {
  const found = verdict.verdict === 'not checked' ? undefined : verdict.found;
  return {
    table: tableName(verdict.carried.table),
    verdict: verdict.verdict,
    position: verdict.position.token,
    checkedAt: new Date(verdict.atMs).toISOString(),
    rows: found?.rows ?? null,
    why: verdict.verdict === 'not checked' ? verdict.why : found?.lacks === undefined ? null : `lacks ${found.lacks}`,
    differences: found === undefined ? null : { ...countsOf(found.differences), all: found.isAll },
    named: namedRows(verdict, withValues),
  };
};
