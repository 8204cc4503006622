import { type Answer, type Ask, answerMessage, refusalMessage } from '../../change/ask.ts';
import type { Batch, Change, Commit } from '../../change/change.ts';
import { bytesOf } from '../../change/codec.ts';
import { keyOf, keyRow } from '../../change/key.ts';
import type { Position } from '../../change/position.ts';
import { type Table, tableName } from '../../change/table.ts';
import type { Connection } from '../../engine/postgres/connect.ts';
import { rangeSql } from '../../engine/postgres/range.ts';
import { intoSnapshot } from '../../engine/postgres/snapshot.ts';
import { rowsByKey } from '../../engine/postgres/view.ts';
import { Wire } from '../../engine/postgres/wire.ts';
import { ChangeoverError, isCode, unreachable } from '../../error.ts';
import type { Sized } from './assemble.ts';
import { type Cut, conditionSql, cutOf, type Excerpts } from './excerpt.ts';
import { rangeOf } from './key-range.ts';
import { copyOut } from './snapshot.ts';
import { replicatedTables } from './tables.ts';
import { readingOf } from './view.ts';

export interface AnswerOptions {
  readonly ask: Ask;
  /** Shows what stands at `at`. */
  readonly snapshot: string;
  readonly at: Position;
  /** Where the answer follows on. */
  readonly after: Position;
  readonly open: (signal: AbortSignal) => Promise<Connection>;
  readonly wanted: (table: { schema: string; name: string }) => boolean;
  readonly excerpts: Excerpts | undefined;
  readonly give: (sized: Sized) => Promise<void>;
}

/** Gives what is asked for as one transaction that ends at the stand; or that it cannot be had, which is no failure of the stream. */
export async function answer(options: AnswerOptions, signal: AbortSignal): Promise<void> {
  const { ask, at } = options;
  try {
    await found(options, signal);
  } catch (error) {
    if (!(error instanceof ChangeoverError) || isCode(error, 'SOURCE_UNREACHABLE')) throw error;
    const refusal = refusalMessage({ id: ask.id, why: `${error.code} ${error.message}` });
    // A whole transaction: it voids the pieces that came before it.
    await give(options, { starts: true, changes: [refusal, commitAt(at)], end: at });
  }
}

async function found(options: AnswerOptions, signal: AbortSignal): Promise<void> {
  const { ask, snapshot } = options;
  switch (ask.ask) {
    case 'stand':
      return finish(options, { starts: true, changes: [] }, { answer: 'stand', id: ask.id, snapshot });
    case 'rows':
      return answerRows(options, ask, signal);
    case 'table':
      return answerTable(options, ask, signal);
    default:
      return unreachable(ask);
  }
}

async function give(options: AnswerOptions, batch: Omit<Batch, 'after'>): Promise<void> {
  const bytes = batch.changes.reduce((sum, change) => sum + bytesOf(change), 0);
  await options.give({ batch: { after: options.after, ...batch }, bytes });
}

async function finish(
  options: AnswerOptions,
  { starts, changes }: Pick<Batch, 'starts' | 'changes'>,
  said: Answer,
): Promise<void> {
  const { at } = options;
  await give(options, { starts, changes: [...changes, answerMessage(said), commitAt(at)], end: at });
}

/** No transaction of the primary's. The time is a label (invariant 16). */
const commitAt = (position: Position): Commit => ({
  kind: 'commit',
  transaction: 0n,
  position,
  committedAtUs: BigInt(Date.now()) * 1000n,
});

/** All that was asked for goes, then what there is comes: so no row is in another's way. */
async function answerRows(
  options: AnswerOptions,
  { id, table: named, keys }: Extract<Ask, { ask: 'rows' }>,
  signal: AbortSignal,
): Promise<void> {
  await using connection = await reader(options, signal);
  const { whole, cut } = await cutNamed(connection, named, options);
  const { table } = cut;
  const reading = readingOf(whole, cut);
  const found = await rowsByKey({ ...reading, connection, table }, keys);
  const rows = new Map(found.map((row) => [JSON.stringify(keyOf(table, row)), row]));
  const going = new Map(keys.map((key) => [JSON.stringify(key), key] as const));
  const changes: Change[] = [
    ...Array.from(going.values(), (key) => ({ kind: 'delete' as const, table, before: keyRow(table, key) })),
    ...Array.from(rows.values(), (after) => ({ kind: 'insert' as const, table, after })),
  ];
  await finish(options, { starts: true, changes }, { answer: 'rows', id, rows: rows.size });
}

async function answerTable(
  options: AnswerOptions,
  ask: Extract<Ask, { ask: 'table' }>,
  signal: AbortSignal,
): Promise<void> {
  await using connection = await reader(options, signal);
  const { whole, cut } = await cutNamed(connection, ask.table, options);
  const { table } = cut;
  const range = await rangeOf(connection, whole, ask);
  await give(options, { starts: true, changes: [{ kind: 'clear', table, at: options.at, ...range }], end: undefined });
  const conditions = [cut.rows && conditionSql(cut.rows), rangeSql(table, range)].filter(Boolean);
  const rows = conditions.length === 0 ? undefined : conditions.join(' AND ');
  let count = 0;
  const chunk = { table, from: undefined, to: undefined, bytes: 0 };
  await copyOut(new Wire(connection), chunk, {
    cut: { ...cut, rows },
    async give(rows) {
      count += rows.count;
      await give(options, { starts: false, changes: [rows], end: undefined });
    },
  });
  const said = { answer: 'rows', id: ask.id, rows: count, upTo: range.upTo } as const;
  await finish(options, { starts: false, changes: [] }, said);
}

const reader = async ({ open, snapshot }: AnswerOptions, signal: AbortSignal): Promise<Connection> =>
  intoSnapshot(await open(signal), snapshot);

/** Throws SOURCE_TABLE_UNSUITABLE: it is not carried. */
async function cutNamed(
  connection: Connection,
  named: { readonly schema: string; readonly name: string },
  { wanted, excerpts }: AnswerOptions,
): Promise<{ readonly whole: Table; readonly cut: Cut }> {
  const isMeant = (one: { schema: string; name: string }): boolean =>
    one.schema === named.schema && one.name === named.name && wanted(one);
  const [whole] = await replicatedTables(connection, isMeant);
  if (!whole) throw new ChangeoverError('SOURCE_TABLE_UNSUITABLE', `${tableName(named)} is not carried`);
  return { whole, cut: cutOf(whole, excerpts) };
}
