import { type Table, tableName } from '../../../change/table.ts';
import { ChangeoverError } from '../../../error.ts';
import type { Excerpt, Excerpts } from '../excerpt.ts';
import { isWord, type Statement } from './statement.ts';
import { type Token, tokensOf } from './tokens.ts';

/* Rules go by name: what gets another name would pass in the clear what was masked or left out. */

interface Named {
  readonly schema: string;
  readonly name: string;
}

export interface Renaming {
  /** Undefined: nobody knows it. */
  readonly statement: Statement | undefined;
  /** The tables that it changed, by their present names, with those that inherit from them. */
  readonly tables: readonly Named[];
  /** Of ALTER SCHEMA ... RENAME. */
  readonly schema: { readonly from: string; readonly to: string } | undefined;
  readonly searchPath: string;
}

/** Throws SOURCE_TABLE_UNSUITABLE where a statement gives a table or a column a name that other rules apply to: nothing behind it may
 *  go out before somebody has said what its rule is now. */
export function proveRulesKept({ statement, tables, schema, searchPath }: Renaming, excerpts: Excerpts): void {
  for (const table of tables) {
    const excerpt = excerpts.of(table);
    if (schema) proveSameRule({ schema: schema.from, name: table.name }, table, excerpts);
    if (!statement) {
      if (excerpt) throw unsuitable(`${tableName(table)} was changed by a statement that is not known`);
      continue;
    }
    for (const column of columnsRenamed(statement.tokens))
      if (namesOf(excerpt).includes(column))
        throw unsuitable(
          `The column ${JSON.stringify(column)} of ${tableName(table)} was renamed or has that name now`,
        );
  }
  const [table] = tables;
  if (!statement || !table || schema) return;
  for (const former of formerNames(statement.tokens, { table, searchPath })) proveSameRule(former, table, excerpts);
}

/** Throws SOURCE_TABLE_UNSUITABLE. */
function proveSameRule(former: Named, table: Named, excerpts: Excerpts): void {
  if (textOf(excerpts.of(former)) !== textOf(excerpts.of(table)))
    throw unsuitable(`${tableName(former)} became ${tableName(table)}, which another rule applies to`);
}

/** Of a table that is announced anew though no schema change was told. Throws SOURCE_TABLE_UNSUITABLE. */
export function proveUntold(former: Table, table: Table, excerpts: Excerpts): void {
  proveSameRule(former, table, excerpts);
  const [had, has] = [former, table].map(({ columns }) => new Set(columns.map(({ name }) => name)));
  for (const column of namesOf(excerpts.of(table)))
    if (had?.has(column) && !has?.has(column))
      throw unsuitable(`The column ${JSON.stringify(column)} of ${tableName(table)} is gone, or has another name`);
}

const namesOf = (excerpt: Excerpt | undefined): readonly string[] =>
  excerpt ? [...excerpt.leaveOut, ...excerpt.masks.keys()] : [];

const textOf = (excerpt: Excerpt | undefined): string =>
  JSON.stringify(excerpt ? [excerpt.rows ?? null, excerpt.leaveOut, [...excerpt.masks]] : []);

/** The former and the present name. */
function columnsRenamed(tokens: readonly Token[]): readonly string[] {
  const at = tokens.findIndex((token) => isWord(token, 'rename'));
  if (at < 0 || isWord(tokens[at + 1], 'to', 'constraint')) return [];
  const first = isWord(tokens[at + 1], 'column', 'attribute') ? at + 2 : at + 1;
  return [tokens[first], tokens[first + 2]].flatMap((token) => (token ? [token.value] : []));
}

function formerNames(
  tokens: readonly Token[],
  { table, searchPath }: { readonly table: Named; readonly searchPath: string },
): readonly Named[] {
  const renamed = tokens.findIndex((token, at) => isWord(token, 'rename') && isWord(tokens[at + 1], 'to'));
  const moved = tokens.findIndex((token, at) => isWord(token, 'set') && isWord(tokens[at + 1], 'schema'));
  const before = tokens.slice(0, Math.max(renamed, moved)).filter(({ value }) => value !== '*');
  const name = before.at(-1)?.value;
  if (name === undefined) return [];
  if (renamed >= 0) return [{ schema: table.schema, name }];
  const schemas = before.at(-2)?.value === '.' ? before.slice(-3, -2) : (tokensOf(searchPath) ?? []);
  return schemas.filter(({ kind }) => kind !== 'sign').map(({ value }) => ({ schema: value, name }));
}

const unsuitable = (what: string): ChangeoverError =>
  new ChangeoverError(
    'SOURCE_TABLE_UNSUITABLE',
    `${what}, and it has filters, masks or columns that stay at the primary`,
    {
      hint: 'Nothing of it went out. Write the names as they are now into the rules, and make a new copy: changeover run --restart.',
    },
  );
