import type { Change, Message } from './change.ts';
import type { Key } from './key.ts';

/* What somebody asks of capture, and what it says to it: JSON in messages. The question goes through the primary's own log, the answer
   stands in the broker at the one position that it is true of. */

/** What is asked for at a position that is exactly known. */
export type Ask =
  /** That both sides show what they hold there. */
  | { readonly ask: 'stand'; readonly id: string }
  /** The rows with these keys, as they are there: each takes the place of what the secondary has, and one that is not there goes. */
  | { readonly ask: 'rows'; readonly id: string; readonly table: Named; readonly keys: readonly Key[] }
  /** A table, in the place of what the secondary has: its rows behind a key, as far as about so many bytes reach. Without `bytes` all. */
  | {
      readonly ask: 'table';
      readonly id: string;
      readonly table: Named;
      readonly after?: Key | undefined;
      readonly bytes?: number | undefined;
    };

export interface Named {
  readonly schema: string;
  readonly name: string;
}

export type Answer =
  /** The snapshot is the source's own name for what it shows at the end of the batch that this stands in. */
  | { readonly answer: 'stand'; readonly id: string; readonly snapshot: string }
  /** So many rows were put into the broker; of a table up to that key, where there are more behind it. */
  | { readonly answer: 'rows'; readonly id: string; readonly rows: number; readonly upTo?: Key | undefined };

export interface Refusal {
  readonly id: string;
  readonly why: string;
}

export const askPrefix = 'changeover ask';
/** Nobody but the source writes these: what comes with the stream under this prefix is passed over. */
export const answerPrefix = 'changeover answer';
export const refusalPrefix = 'changeover refusal';

export const askText = (ask: Ask): string => JSON.stringify(ask);
export const refusalText = (refusal: Refusal): string => JSON.stringify(refusal);

export const answerMessage = (answer: Answer): Message => ({
  kind: 'message',
  prefix: answerPrefix,
  content: Buffer.from(JSON.stringify(answer)),
});

export const refusalMessage = (refusal: Refusal): Message => ({
  kind: 'message',
  prefix: refusalPrefix,
  content: Buffer.from(refusalText(refusal)),
});

export const isAnswer = (change: Change): change is Message =>
  change.kind === 'message' && change.prefix === answerPrefix;

export const answerIn = (change: Change): Answer | undefined =>
  isAnswer(change) ? (JSON.parse(change.content.toString()) as Answer) : undefined;

/** Undefined for what is no refusal; anybody may write such a message. */
export const refusalIn = (change: Change): Refusal | undefined => {
  if (change.kind !== 'message' || change.prefix !== refusalPrefix) return undefined;
  const said = parsed(change.content);
  return typeof said?.id === 'string' && typeof said.why === 'string' ? { id: said.id, why: said.why } : undefined;
};

/** Undefined for what asks for nothing that we know: anybody who may log in at the primary may write such a message. What it can ask
 *  for costs time, and changes nothing that is right. */
export function askIn(content: Buffer): Ask | undefined {
  const said = parsed(content);
  if (typeof said?.id !== 'string') return undefined;
  const { id, ask, table, keys, after, bytes } = said;
  if (ask === 'stand') return { ask, id };
  if (!isNamed(table)) return undefined;
  if (ask === 'table' && (after === undefined || isKey(after)) && (bytes === undefined || isCount(bytes)))
    return { ask, id, table, after, bytes };
  if (ask === 'rows' && Array.isArray(keys) && keys.every(isKey)) return { ask, id, table, keys };
  return undefined;
}

function parsed(content: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const said: unknown = JSON.parse(content.toString());
    return typeof said === 'object' && said !== null ? (said as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

const isNamed = (value: unknown): value is Named =>
  typeof value === 'object' &&
  value !== null &&
  'schema' in value &&
  'name' in value &&
  typeof value.schema === 'string' &&
  typeof value.name === 'string';

const isCount = (value: unknown): value is number => typeof value === 'number' && value > 0;

const isKey = (value: unknown): value is Key =>
  Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string');
