/** A piece of SQL that reads as one: a word, a quoted name, a text, a number, or one other character. Whitespace and comments are none. */
export interface Token {
  readonly kind: 'word' | 'name' | 'text' | 'number' | 'sign';
  /** A word in lower case, a name without its quotes; else as it is written. */
  readonly value: string;
  readonly from: number;
  readonly to: number;
  /** How many brackets are open around it. */
  readonly depth: number;
}

const lexeme =
  /\s+|--[^\n]*|(?<dollar>\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)|(?<escaped>[eE]'(?:[^'\\]|''|\\[\s\S])*')|(?:[uU]&|[bBxXnN])?(?<plain>')|(?:[uU]&)?(?<quoted>"(?:[^"]|"")*")|(?<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)|(?<number>\d[\w.]*)|(?<comment>\/\*)|(?<sign>[\s\S])/y;

/** Undefined where a text, a name or a comment does not end: then nothing is known of what it says.
 *  https://www.postgresql.org/docs/current/sql-syntax-lexical.html */
export function tokensOf(sql: string, { backslashes = false } = {}): readonly Token[] | undefined {
  const tokens: Token[] = [];
  let depth = 0;
  for (let at = 0; at < sql.length; ) {
    lexeme.lastIndex = at;
    const found = lexeme.exec(sql);
    const groups = found?.groups ?? {};
    let to: number | undefined = at + (found?.[0].length ?? 1);
    let kind: Token['kind'] | undefined;
    let value = sql.slice(at, to);
    if (groups.comment) to = endOfComment(sql, at);
    else if (groups.dollar) {
      const close = sql.indexOf(groups.dollar, to);
      to = close < 0 ? undefined : close + groups.dollar.length;
      kind = 'text';
    } else if (groups.plain) {
      to = endOfText(sql, to, backslashes);
      kind = 'text';
    } else if (groups.escaped) kind = 'text';
    else if (groups.quoted) {
      kind = 'name';
      value = groups.quoted.slice(1, -1).replaceAll('""', '"');
    } else if (groups.word) {
      kind = 'word';
      value = value.toLowerCase();
    } else if (groups.number) kind = 'number';
    else if (groups.sign) kind = 'sign';
    if (to === undefined || (kind === 'sign' && value === '"')) return undefined;
    if (kind === 'text') value = sql.slice(at, to);
    if (kind === 'sign' && (value === ')' || value === ']')) depth -= 1;
    if (kind) tokens.push({ kind, value, from: at, to, depth });
    if (kind === 'sign' && (value === '(' || value === '[')) depth += 1;
    at = to;
  }
  return tokens;
}

/** A quote within is written twice; where standard_conforming_strings is off, also behind a backslash. */
function endOfText(sql: string, from: number, backslashes: boolean): number | undefined {
  for (let at = from; at < sql.length; at += 1) {
    if (backslashes && sql[at] === '\\') at += 1;
    else if (sql[at] === "'") {
      if (sql[at + 1] !== "'") return at + 1;
      at += 1;
    }
  }
  return undefined;
}

/** Comments stand within one another. */
function endOfComment(sql: string, from: number): number | undefined {
  let open = 0;
  for (let at = from; at < sql.length; at += 1) {
    const two = sql.slice(at, at + 2);
    if (two !== '/*' && two !== '*/') continue;
    open += two === '/*' ? 1 : -1;
    at += 1;
    if (open === 0) return at + 1;
  }
  return undefined;
}

/** The statements of a text, each as its tokens. The body of a function in standard SQL (BEGIN ATOMIC ... END) has semicolons of its own. */
export function statementsOf(tokens: readonly Token[]): readonly (readonly Token[])[] {
  const statements: Token[][] = [];
  let statement: Token[] = [];
  let inBody = 0;
  for (const token of tokens) {
    if (token.kind === 'sign' && token.value === ';' && token.depth === 0 && inBody === 0) {
      if (statement.length > 0) statements.push(statement);
      statement = [];
      continue;
    }
    if (token.kind === 'word') {
      if (token.value === 'atomic' && statement.at(-1)?.value === 'begin') inBody = 1;
      else if (inBody > 0 && token.value === 'case') inBody += 1;
      else if (inBody > 0 && token.value === 'end') inBody -= 1;
    }
    statement.push(token);
  }
  if (statement.length > 0) statements.push(statement);
  return statements;
}
