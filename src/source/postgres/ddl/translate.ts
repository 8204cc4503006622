import type { Ddl, Rows, Shape, Truncate } from '../../../change/change.ts';
import { type Table, tableName } from '../../../change/table.ts';
import { quoteIdentifier, quoteTable } from '../../../engine/postgres/identifier.ts';
import { cutBlock, cutOf, type Excerpts } from '../excerpt.ts';
import type { Renaming } from './excerpted.ts';
import type { CommandNotice, NotedObject, Notice, RowsNotice } from './notice.ts';
import { dropEachSteps, ownerSteps, stepsFor, tableMadeSteps } from './rewrite.ts';
import { isWord, type Statement, soleStatement, statementAt } from './statement.ts';
import { type Token, tokensOf } from './tokens.ts';
import { momentary } from './trigger.ts';

type Wanted = (table: { readonly schema: string; readonly name: string }) => boolean;

/** What of the database is carried. */
export interface Scope {
  readonly wanted: Wanted;
  readonly excerpts?: Excerpts | undefined;
}

/** Makes schema changes of what the event triggers tell. Knows what was told before in the same transaction. */
export class Translator {
  readonly #wanted: Wanted;
  readonly #excerpts: Excerpts | undefined;
  /** By key, for the present transaction. */
  readonly #texts = new Map<string, string>();
  #isMaking = false;

  constructor({ wanted, excerpts }: Scope) {
    this.#wanted = wanted;
    this.#excerpts = excerpts;
  }

  /** A transaction begins. */
  begin(): void {
    this.#texts.clear();
    this.#isMaking = false;
  }

  /** True while a query makes a table: its rows come before it is told. */
  get isMaking(): boolean {
    return this.#isMaking;
  }

  /** Empty where nothing is to be done at a secondary. */
  translate(notice: Notice): readonly (Ddl | Truncate | Rows)[] {
    switch (notice.event) {
      case 'failed':
        return [
          { ...nothing, id: notice.id, statement: notice.text, refusal: `our event trigger failed: ${notice.problem}` },
        ];
      case 'ddl_command_start':
        this.#isMaking = true;
        return [];
      case 'sql_drop':
        return [this.#drop(notice)].filter((change) => change !== undefined);
      case 'ddl_command_end': {
        if (notice.tag === 'CREATE TABLE AS' || notice.tag === 'SELECT INTO') this.#isMaking = false;
        const change = this.#command(notice);
        return change ? [...this.#emptied(notice), change] : [];
      }
      case 'rows':
        return this.#rows(notice);
      default:
        return [
          {
            ...nothing,
            id: (notice as CommandNotice).id,
            statement: JSON.stringify(notice),
            refusal: 'another version of our event triggers told it',
          },
        ];
    }
  }

  /** Tables whose rows come anew lose them before the change: nothing is computed that would be thrown away. */
  #emptied({ remade }: CommandNotice): readonly Truncate[] {
    const tables = remade
      .filter((table) => this.#isTold(table))
      .map(({ schema, name }): Table => ({ schema, name, identity: 'full', columns: [] }));
    return tables.length === 0 ? [] : [{ kind: 'truncate', tables, cascade: false, restartIdentity: false }];
  }

  #rows({ schema, name, columns, count, block }: RowsNotice): readonly Rows[] {
    if (!this.#isTold({ schema, name, told: true })) return [];
    const described = columns.map(([column, type, key]) => ({ name: column, type, key: key === true }));
    const isKeyed = described.some(({ key }) => key);
    const whole: Table = { schema, name, identity: isKeyed ? 'key' : 'full', columns: described };
    const cut = cutOf(whole, this.#excerpts);
    return [{ kind: 'rows', table: cut.table, count, block: cutBlock(cut, Buffer.from(block)) }];
  }

  /** Which rows a filter lets pass, only the server can tell. */
  #isTold({ schema, name, told }: { readonly schema: string; readonly name: string; readonly told: boolean }): boolean {
    return told && this.#wanted({ schema, name }) && this.#excerpts?.of({ schema, name })?.rows === undefined;
  }

  /** What may have given tables or columns other names. Undefined: nothing has. */
  renaming(notice: Notice): Renaming | undefined {
    if (notice.event !== 'ddl_command_end') return undefined;
    const tables = [...notice.tables, ...(notice.heirs ?? [])];
    const text = this.#textOf(notice);
    const statement = text === undefined ? undefined : statementIn(text, notice);
    if (tables.length === 0 || (statement && !statement.tokens.some((token) => isWord(token, 'rename', 'schema'))))
      return undefined;
    return { statement, tables, schema: this.schemaRenamed(notice), searchPath: resolvedPath(notice) };
  }

  /** Of ALTER SCHEMA ... RENAME. */
  schemaRenamed(notice: Notice): { readonly from: string; readonly to: string } | undefined {
    if (notice.event !== 'ddl_command_end' || notice.tag !== 'ALTER SCHEMA') return undefined;
    const text = this.#textOf(notice);
    const [, , from, how, , to] = (text === undefined ? undefined : statementIn(text, notice))?.tokens ?? [];
    return from && to && isWord(how, 'rename') ? { from: from.value, to: to.value } : undefined;
  }

  #drop({ id, tag, dropped, cascade, settings }: Extract<Notice, { event: 'sql_drop' }>): Ddl | undefined {
    const theirs = dropped.filter(({ type, schema, names, identity }) => {
      if (schema === 'changeover' || identity === 'changeover') return false;
      return type !== 'table' || this.#wanted({ schema: schema ?? '', name: names?.[1] ?? '' });
    });
    if (theirs.length === 0) return undefined;
    const base = { ...nothing, id, settings: { ...settings, search_path: '' } };
    if (tag === 'DROP OWNED') return { ...base, statement: tag, steps: dropEachSteps(theirs) };
    // The snapshot makes the tables that used it without it.
    if (tag === 'DROP ACCESS METHOD' && cascade)
      return { ...base, statement: tag, refusal: 'what used it need not use it at the secondary' };
    const end = cascade ? ' CASCADE' : '';
    // What hangs on a table is named with it, one by one.
    const isListed = !/^DROP (TRIGGER|POLICY|RULE|CAST|OPERATOR|TRANSFORM)/.test(tag);
    const names = theirs.map(({ identity }) => identity);
    const steps = isListed
      ? [`${tag} IF EXISTS ${names.join(', ')}${end}`]
      : names.map((name) => `${tag} IF EXISTS ${name}${end}`);
    return { ...base, statement: steps.join('; '), steps };
  }

  #command(notice: CommandNotice): Ddl | undefined {
    const text = this.#textOf(notice);
    const objects = notice.objects.filter((object) => this.#concerns(object));
    if (objects.length === 0 && notice.tag !== 'DROP OWNED') return undefined;
    const made = objects.filter(({ command }) => command.startsWith('CREATE') || command === 'SELECT INTO');
    const shapes = notice.tables.filter((table) => this.#wanted(table)).map((table) => this.#shapeOf(table));
    const statement = text === undefined ? undefined : statementIn(text, notice);
    const base = {
      ...nothing,
      id: notice.id,
      statement: statement?.sql ?? text ?? `${notice.tag} of ${objects.map(({ identity }) => identity).join(', ')}`,
      settings: { ...notice.settings, search_path: resolvedPath(notice) },
      shapes,
      objects: objects.flatMap(({ address }) => (address === undefined ? [] : [address])),
    };
    if (notice.tag === 'CREATE TABLE AS' || notice.tag === 'SELECT INTO')
      return { ...base, steps: [...notice.tables.flatMap(tableMadeSteps), ...ownerSteps(made)] };
    if (!statement)
      return {
        ...base,
        refusal: 'what was run is not known: a function in SQL ran it, or one of several statements of a text',
      };
    const refusal = this.#refusal(notice, statement);
    if (refusal !== undefined) return { ...base, refusal };
    const steps = stepsFor(statement, notice);
    return steps.length === 0 ? undefined : { ...base, steps: [...steps, ...ownerSteps(made)] };
  }

  /** Without the columns that stay at the primary. */
  #shapeOf({ schema, name, traits }: Shape): Shape {
    const { leaveOut = [] } = this.#excerpts?.of({ schema, name }) ?? {};
    const isLeftOut = (trait: string): boolean => {
      const [, column] = trait.startsWith('column ') ? (tokensOf(trait) ?? []) : [];
      return column !== undefined && leaveOut.includes(column.value);
    };
    return { schema, name, traits: traits.filter((trait) => !isLeftOut(trait)) };
  }

  #textOf({ text, key }: CommandNotice): string | undefined {
    if (typeof text === 'string' && key !== undefined) this.#texts.set(key, text);
    return text ?? (key === undefined ? undefined : this.#texts.get(key));
  }

  #concerns({ apart, table, reads = [] }: NotedObject): boolean {
    const isWanted = ([schema, name]: readonly [string, string]): boolean => this.#wanted({ schema, name });
    return apart !== true && (table === undefined || isWanted(table)) && reads.every(isWanted);
  }

  /** Why the rows that a statement wrote anew would be others at the secondary. */
  #refusal({ remade, unstable }: CommandNotice, { tokens }: Statement): string | undefined {
    const bound = boundAttached(tokens);
    const moving = bound.find((token, at) => isMomentary(token) || isCall(bound, at));
    if (moving) return `${moving.value} may say something else at the secondary: give the bound as a plain value`;
    const tables = remade.filter((table) => this.#wanted(table) && !this.#isTold(table));
    // 1: it became logged or unlogged; 2 and 4: values were computed. The rest moves rows only.
    if (tables.some(({ reason, logged }) => (reason & 1) !== 0 && logged))
      return `rows written while the table was unlogged are not in the stream${untold}`;
    if (tables.every(({ reason }) => (reason & 6) === 0)) return undefined;
    const names = new Set(unstable ?? []);
    const called = tokens.find((token, at) => names.has(token.value.toLowerCase()) && tokens[at + 1]?.value === '(');
    const culprit = called ?? tokens.find(isMomentary);
    if (culprit) return `it wrote rows anew with ${culprit.value}, which says something else at the secondary${untold}`;
    // The default of a domain, perhaps.
    const isDefault =
      tables.some(({ reason }) => (reason & 2) !== 0) && !tokens.some((token) => isWord(token, 'generated'));
    return isDefault ? `it wrote rows anew with a default that need not be the same there${untold}` : undefined;
  }
}

const untold = '; the table has a row filter or more than 1 GB, so its rows do not come with the change';

const isMomentary = (token: Token): boolean =>
  isWord(token, ...momentary) || (token.kind === 'text' && /'\s*(now|today|tomorrow|yesterday)/i.test(token.value));

/** A word with a bracket behind it that is none of the bound's own. */
const isCall = (tokens: readonly Token[], at: number): boolean =>
  tokens[at + 1]?.value === '(' && tokens[at]?.kind === 'word' && !isWord(tokens[at], 'in', 'from', 'to', 'with');

/** What ATTACH PARTITION says of the bound. */
function boundAttached(tokens: readonly Token[]): readonly Token[] {
  const at = tokens.findIndex((token, place) => isWord(token, 'partition') && isWord(tokens[place - 1], 'attach'));
  return at < 0 ? [] : tokens.slice(at + 2);
}

const nothing: Ddl = {
  kind: 'ddl',
  id: '',
  statement: '',
  steps: [],
  settings: {},
  refusal: undefined,
  shapes: [],
  objects: [],
};

function statementIn(text: string, notice: CommandNotice): Statement | undefined {
  const backslashes = notice.settings.standard_conforming_strings === 'off';
  const { tag, place } = notice;
  const found =
    place === undefined ? soleStatement(text, { backslashes }) : statementAt(text, { tag, place, backslashes });
  if (!found || place === undefined || soleStatement(text, { backslashes })) return found;
  // One of several: it must name what it is said to have changed.
  const names = notice.objects.flatMap(({ identity, table }) => [
    ...(table ?? []),
    ...(tokensOf(identity ?? '') ?? []).map(({ value }) => value),
  ]);
  return names.length === 0 || found.tokens.some(({ value }) => names.includes(value)) ? found : undefined;
}

/** `"$user"` is the role of the session at the primary. */
function resolvedPath({ settings, role }: CommandNotice): string {
  const tokens = tokensOf(settings.search_path ?? '') ?? [];
  const names = tokens.filter(({ value }) => value !== ',').map(({ value }) => (value === '$user' ? role : value));
  return names.map(quoteIdentifier).join(', ');
}

/** The table that a query is making, as its first row announces it. */
export function tableInMaking(table: Table): Ddl {
  const columns = table.columns.map(({ name, type }) => `${quoteIdentifier(name)} ${type}`);
  const sql = `CREATE TABLE IF NOT EXISTS ${quoteTable(table)} (${columns.join(', ')})`;
  return {
    ...nothing,
    statement: `the table ${tableName(table)}, made by a query`,
    steps: [sql],
    settings: { search_path: '' },
  };
}
