import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type YAMLError,
} from 'yaml';

export type Path = readonly (string | number)[];

/** One thing that is wrong in a file. */
export interface Problem {
  /** From 1. */
  readonly line: number;
  readonly column: number;
  /** The option, for example `sites.london.postgres`; empty where the file as a whole is meant. */
  readonly key: string;
  /** What is wrong and what would be right. Never a secret. */
  readonly message: string;
  /** A variable or a file that should hold a secret is not there. */
  readonly secretMissing?: boolean;
}

/** Turns a scalar's text into its value, or says why it cannot. */
export interface Resolver {
  /** Replaces `${NAME}`. */
  readonly scalar: (text: string) => Resolved;
  /** Reads what `{ file: path }` at a place of the file means. Undefined: no secret may stand there. */
  readonly file: (path: Path, name: string) => Resolved | undefined;
}

/** `missing`: a sentence for each variable or file that is not there. */
export type Resolved = { readonly value: string } | { readonly missing: readonly string[] };

/** A YAML file as plain values that remember where they stood. */
export interface Tree {
  /** Undefined where the file is no YAML. */
  readonly value: unknown;
  readonly problems: readonly Problem[];
  has(path: Path): boolean;
  /** Where the value stands, or the nearest thing around it that exists. */
  valueAt(path: Path): { readonly line: number; readonly column: number };
  /** Where the key stands whose value `path` names. */
  keyAt(path: Path): { readonly line: number; readonly column: number };
  /** The scalar as it is written in the file, before variables are put in. Undefined for anything else. */
  writtenAt(path: Path): string | undefined;
}

/** The parser's own words may quote the file, secrets included: only its error code is used. */
const syntax: Partial<Record<YAMLError['code'], string>> = {
  DUPLICATE_KEY: 'this key is given twice; keep one of the two',
  TAB_AS_INDENT: 'a tab is no indentation in YAML; use spaces',
  BAD_INDENT: 'the indentation fits no level above; use two spaces for each level',
  BAD_ALIAS: 'a value must not begin with *; put it in quotes',
  BAD_SCALAR_START: 'a value must not begin with @ or `; put it in quotes',
  BAD_DQ_ESCAPE: 'a \\ in double quotes begins an escape that YAML does not know; use single quotes',
  BLOCK_AS_IMPLICIT_KEY:
    'a mapping cannot begin here; is a line break missing, or quotes around a value that holds ": "?',
  MULTILINE_IMPLICIT_KEY: 'a key must be on one line and end in a colon; is a colon or a closing quote missing?',
  MISSING_CHAR: 'something is missing here: a closing quote, bracket or brace, or a colon with a space behind it',
  MULTIPLE_DOCS: 'a second document begins here; one file holds one configuration',
  MULTIPLE_ANCHORS: 'anchors are not known here; write the value out',
  UNEXPECTED_TOKEN: 'this cannot stand here; are quotes, a comma or a closing bracket missing before it?',
};

export const keyOf = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (key, part) =>
      typeof part === 'number' ? `${key}[${part}]` : key === '' ? String(part) : `${key}.${String(part)}`,
    '',
  );

export function readTree(text: string, resolver: Resolver): Tree {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false, uniqueKeys: true });
  const place = (at: number | undefined): { line: number; column: number } => {
    const { line, col } = counter.linePos(at ?? 0);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const problems: Problem[] = document.errors.map((error) => ({
    ...place(error.pos[0]),
    key: '',
    message: syntax[error.code] ?? 'this is not valid YAML; see the line above too',
  }));

  const scalar = (path: Path, node: Node & { value: unknown }): unknown => {
    if (typeof node.value !== 'string') return node.value;
    return settle(path, node, resolver.scalar(node.value));
  };
  const settle = (path: Path, node: Node, resolved: Resolved): string => {
    if ('value' in resolved) return resolved.value;
    const at = { ...place(node.range?.[0]), key: keyOf(path) };
    problems.push(...resolved.missing.map((message) => ({ ...at, message, secretMissing: true })));
    return absent;
  };
  const valueOf = (path: Path, node: unknown): unknown => {
    if (isScalar(node)) return scalar(path, node);
    if (isSeq(node)) return node.items.map((item, index) => valueOf([...path, index], item));
    if (isAlias(node)) {
      problems.push({
        ...place(node.range?.[0]),
        key: keyOf(path),
        message: 'a value that begins with * must stand in quotes',
      });
      return absent;
    }
    if (!isMap(node)) return undefined;
    const only = node.items.length === 1 ? node.items[0] : undefined;
    if (only && keyText(only) === 'file' && isScalar(only.value) && typeof only.value.value === 'string') {
      const named = settle([...path, 'file'], only.value, resolver.scalar(only.value.value));
      const resolved = named === absent ? { value: absent } : resolver.file(path, named);
      if (resolved) return settle(path, only.value, resolved);
    }
    // A map without a prototype: a key called `__proto__` is a key like any other.
    const object: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    for (const pair of node.items) object[keyText(pair)] = valueOf([...path, keyText(pair)], pair.value);
    return object;
  };

  const pairAt = (path: Path): Pair | undefined => {
    const holder = document.getIn(path.slice(0, -1), true);
    const last = path.at(-1);
    return isMap(holder) ? holder.items.find((pair) => keyText(pair) === last) : undefined;
  };
  const nodeAt = (path: Path): Node | undefined => {
    const found = path.length === 0 ? document.contents : document.getIn(path, true);
    return isScalar(found) || isMap(found) || isSeq(found) || isAlias(found) ? found : undefined;
  };
  const keyRange = (path: Path): number | undefined => (pairAt(path)?.key as Node | undefined)?.range?.[0];
  // With a key given twice the rest still reads as it should; after any other error it may mean anything.
  const readable = document.errors.every((error) => error.code === 'DUPLICATE_KEY');
  const value = readable ? valueOf([], document.contents) : undefined;
  return {
    value,
    problems,
    has: (path) => path.length === 0 || nodeAt(path) !== undefined,
    keyAt: (path) => place(keyRange(path) ?? nodeAt(path)?.range?.[0]),
    valueAt(path) {
      for (let depth = path.length; depth > 0; depth -= 1) {
        const around = path.slice(0, depth);
        const node = nodeAt(around);
        // For something missing, the key of the mapping that should hold it is the place to look.
        const at = depth === path.length ? node?.range?.[0] : keyRange(around);
        const known = at ?? node?.range?.[0];
        if (known !== undefined) return place(known);
      }
      return { line: 1, column: 1 };
    },
    writtenAt(path) {
      const node = nodeAt(path);
      return isScalar(node) ? (node.source ?? String(node.value)) : undefined;
    },
  };
}

/** Stands for a value whose variable or file is missing: that was told already, so nothing else is said about it. */
export const absent = '\u{0}absent';

const keyText = (pair: Pair): string => {
  const key: unknown = pair.key;
  return isScalar(key) ? String(key.value) : String(key);
};
