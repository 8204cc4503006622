import { createHmac } from 'node:crypto';
import { cells, type Row, rowOf } from '../../change/row.ts';
import { type Table, tableName } from '../../change/table.ts';
import { ChangeoverError, unreachable } from '../../error.ts';
import type { Decoded } from './pgoutput.ts';

/* What of a table is carried, where that is not all of it: docs/decisions/0011. */

export type Mask =
  | { readonly kind: 'hash' }
  | { readonly kind: 'null' }
  | { readonly kind: 'fixed'; readonly value: string };

/** What of a table is carried. */
export interface Excerpt {
  /** A condition in the server's own SQL. Rows that do not meet it stay at the primary. */
  readonly rows: string | undefined;
  /** Columns that stay at the primary: not even the log has them. */
  readonly leaveOut: readonly string[];
  /** By column. */
  readonly masks: ReadonlyMap<string, Mask>;
}

type Named = { readonly schema: string; readonly name: string };

/** Of all tables. */
export interface Excerpts {
  /** Undefined: the whole table. */
  readonly of: (table: Named) => Excerpt | undefined;
  /** Of the hashes. Undefined: nothing is hashed. */
  readonly key: string | undefined;
  /** Stands for all of it, without giving the key away: a copy that was made of another excerpt cannot be continued. */
  readonly fingerprint: string;
}

/** A table in its excerpt, and what makes its rows so. */
export interface Cut {
  readonly table: Table;
  readonly rows: string | undefined;
  /** Some values are changed, and not only left out. */
  readonly isMasked: boolean;
  /** Undefined: rows pass as they are. */
  readonly row: ((row: Row) => Row) | undefined;
  /** The same for a line of COPY's text format, with its newline. */
  readonly line: ((line: Buffer) => Buffer) | undefined;
}

/** Begins the comment of a publication; the fingerprint follows. */
export const excerptMark = 'changeover excerpts ';

export const fingerprintIn = (comment: string | null | undefined): string | undefined =>
  comment?.startsWith(excerptMark) ? comment.slice(excerptMark.length) : undefined;

export const excerptsCure = (publication: string, excerpts: Excerpts | undefined): string =>
  `Rows that are copied already would stay as they were. Start over with a new copy: changeover run --restart. If the publication is an administrator's and filters as configured, he says so with: ${
    excerpts
      ? `COMMENT ON PUBLICATION ${publication} IS '${excerptMark}${excerpts.fingerprint}';`
      : `COMMENT ON PUBLICATION ${publication} IS NULL;`
  }`;

/** In parentheses of its own; a comment at its end does not swallow them. */
export const conditionSql = (condition: string): string => `(${condition}\n)`;

/** HMAC-SHA-256 in hexadecimal digits: the same text gives the same hash everywhere, so that joins still work; without the key nobody
 *  can try texts until one fits. */
export const hashed = (text: Buffer, key: string): Buffer =>
  Buffer.from(createHmac('sha256', key).update(text).digest('hex'), 'latin1');

export const hashCharacters = 64;

type Cells = (Buffer | null | 'unchanged')[];

/** Throws SOURCE_TABLE_UNSUITABLE where a column that identifies rows would be changed (two rows could pass for one), or where the
 *  server could not tell which rows begin or cease to be carried. */
export function cutOf(table: Table, excerpts: Excerpts | undefined): Cut {
  const { rows, leaveOut = [], masks = new Map<string, Mask>() } = excerpts?.of(table) ?? {};
  if (rows !== undefined && table.identity !== 'full')
    throw unsuitable(`${tableName(table)} is filtered by rows, and does not have REPLICA IDENTITY FULL`);
  for (const { name, key } of table.columns) {
    if (key && (leaveOut.includes(name) || masks.has(name)))
      throw unsuitable(
        `The column ${JSON.stringify(name)} of ${tableName(table)} identifies its rows, and cannot be left out or masked`,
      );
  }
  const kept = table.columns.flatMap(({ name }, place) =>
    leaveOut.includes(name) ? [] : [{ place, mask: masks.get(name) }],
  );
  if (kept.length === table.columns.length && kept.every(({ mask }) => mask === undefined))
    return { table, rows, isMasked: false, row: undefined, line: undefined };
  return {
    table: { ...table, columns: table.columns.filter(({ name }) => !leaveOut.includes(name)) },
    rows,
    isMasked: kept.some(({ mask }) => mask !== undefined),
    row(row) {
      const values = [...cells(row)];
      return rowOf(kept.map(({ place, mask }) => masked(values[place] ?? null, mask, excerpts?.key)));
    },
    // COPY is asked for the columns of the excerpt only. Where none is left, a line is empty, and is no cell.
    line: (line) =>
      kept.length === 0
        ? line
        : copyLine(copyCells(line).map((value, at) => masked(value, kept[at]?.mask, excerpts?.key))),
  };
}

const unsuitable = (message: string): ChangeoverError => new ChangeoverError('SOURCE_TABLE_UNSUITABLE', message);

function masked(value: Cells[number], mask: Mask | undefined, key: string | undefined): Cells[number] {
  switch (mask?.kind) {
    case undefined:
      return value;
    case 'null':
      return null;
    case 'fixed':
      return Buffer.from(mask.value);
    case 'hash':
      if (key === undefined) throw new ChangeoverError('CONFIG_SECRET_MISSING', 'There is no key to hash with');
      return Buffer.isBuffer(value) ? hashed(value, key) : value;
    default:
      return unreachable(mask);
  }
}

const letters: Readonly<Record<number, number>> = { 0x62: 8, 0x66: 12, 0x6e: 10, 0x72: 13, 0x74: 9, 0x76: 11 };
const escapes: Readonly<Record<number, string>> = { 9: '\\t', 10: '\\n', 13: '\\r', 0x5c: '\\\\' };

/** https://www.postgresql.org/docs/current/sql-copy.html (Text Format). The server escapes with letters only. */
function copyCells(line: Buffer): (Buffer | null)[] {
  const text = line.toString('latin1');
  return text
    .slice(0, -1)
    .split('\t')
    .map((field) => {
      if (field === String.raw`\N`) return null;
      const plain = field.replaceAll(/\\(.)/gs, (_, letter: string) =>
        String.fromCharCode(letters[letter.charCodeAt(0)] ?? letter.charCodeAt(0)),
      );
      return Buffer.from(plain, 'latin1');
    });
}

const copyLine = (values: Cells): Buffer =>
  Buffer.from(
    `${values
      .map((value) =>
        Buffer.isBuffer(value)
          ? value.toString('latin1').replaceAll(/[\t\n\r\\]/g, (one) => escapes[one.charCodeAt(0)] ?? one)
          : String.raw`\N`,
      )
      .join('\t')}\n`,
    'latin1',
  );

/** Of lines that hold the whole rows of the table. */
export function cutBlock({ row }: Cut, block: Buffer): Buffer {
  if (!row) return block;
  const lines: Buffer[] = [];
  for (let from = 0; from < block.length; ) {
    const to = block.indexOf(10, from) + 1;
    lines.push(copyLine([...cells(row(rowOf(copyCells(block.subarray(from, to)))))]));
    from = to;
  }
  return Buffer.concat(lines);
}

/** Cuts what the stream brings, table by table. */
export class Cutter {
  readonly #excerpts: Excerpts;
  readonly #isWanted: (table: Table) => boolean;
  readonly #cuts = new WeakMap<Table, Cut>();

  constructor(excerpts: Excerpts, isWanted: (table: Table) => boolean) {
    this.#excerpts = excerpts;
    this.#isWanted = isWanted;
  }

  cut(message: Message): Message {
    switch (message.kind) {
      case 'truncate':
        return { ...message, tables: message.tables.map((table) => this.#of(table).table) };
      case 'insert': {
        const { table, row } = this.#of(message.table);
        return row ? { ...message, table, after: row(message.after) } : message;
      }
      case 'update': {
        const { table, row } = this.#of(message.table);
        return row
          ? { ...message, table, before: message.before && row(message.before), after: row(message.after) }
          : message;
      }
      case 'delete': {
        const { table, row } = this.#of(message.table);
        return row ? { ...message, table, before: row(message.before) } : message;
      }
      case 'begin':
      case 'committed':
      case 'logical message':
      case 'nothing':
        return message;
      default:
        return unreachable(message);
    }
  }

  #of(table: Table): Cut {
    const known = this.#cuts.get(table);
    if (known) return known;
    // What is not wanted is left out whole, behind us.
    const cut = this.#isWanted(table) ? cutOf(table, this.#excerpts) : cutOf(table, undefined);
    this.#cuts.set(table, cut);
    return cut;
  }
}

type Message = Exclude<Decoded, { kind: 'relation' | 'type' }>;
