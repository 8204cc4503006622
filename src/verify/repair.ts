import { randomUUID } from 'node:crypto';
import type { Key } from '../change/key.ts';
import type { Position } from '../change/position.ts';
import { type Table, tableName } from '../change/table.ts';
import { ChangeoverError } from '../error.ts';
import type { Sides } from './sides.ts';
import { asked, inTime } from './stand.ts';
import { type TableVerdict, type VerifyOptions, verify } from './verify.ts';

export interface RepairOptions extends VerifyOptions {
  /** Only says what differs. */
  readonly dryRun: boolean;
  /** What is being put right. */
  readonly onCopy?: (table: Table, how: 'rows' | 'table', rows: number) => void;
}

/** A table that differed. */
export interface Repaired {
  readonly before: TableVerdict;
  /** What a comparison after it says. Undefined: nothing was tried, or nothing could be. */
  readonly after: TableVerdict | undefined;
}

/** Keys of one question: some hundred kB of a message at the most, and a moment of the stream's time. */
const keysMax = 500;
/** Tries that change nothing: somebody undoes our work as fast as we do it. */
const vainMax = 3;

/** Puts right what differs at the secondary. Rows come from the primary through the log, each as of the position at which it stands there,
 *  so that no later change is undone and every secondary gets them once; then the tables are compared again. Gives the verdicts on all
 *  tables first. */
export async function repair(
  sides: Sides,
  options: RepairOptions,
  signal: AbortSignal,
): Promise<{ readonly verdicts: readonly TableVerdict[]; readonly repaired: readonly Repaired[] }> {
  const verdicts = await verdictsOn(sides, options, signal);
  const repaired: Repaired[] = [];
  for (const before of verdicts) {
    if (before.verdict === 'equal') continue;
    const after = options.dryRun ? undefined : await repairTable(sides, { ...options, before }, signal);
    repaired.push({ before, after });
  }
  return { verdicts, repaired };
}

async function repairTable(
  sides: Sides,
  { before, ...options }: RepairOptions & { readonly before: TableVerdict },
  signal: AbortSignal,
): Promise<TableVerdict | undefined> {
  const name = tableName(before.carried.table);
  let now: TableVerdict | undefined = before;
  for (let vain = 0; now?.verdict === 'differs' && now.found.lacks === undefined && vain < vainMax; ) {
    const differed = now.found.differences.length;
    const wasAll = now.found.isAll;
    await putRight(sides, { ...options, verdict: now }, signal);
    [now] = await verdictsOn(sides, { ...options, wanted: (table) => tableName(table) === name }, signal);
    if (now?.verdict !== 'differs' || (wasAll && now.found.differences.length >= differed)) vain += 1;
  }
  return now === before ? undefined : now;
}

async function verdictsOn(sides: Sides, options: VerifyOptions, signal: AbortSignal): Promise<readonly TableVerdict[]> {
  const verdicts: TableVerdict[] = [];
  for await (const verdict of verify(sides, options, signal)) verdicts.push(verdict);
  return verdicts;
}

interface Wrong extends RepairOptions {
  readonly verdict: Extract<TableVerdict, { readonly verdict: 'equal' | 'differs' }>;
}

/** Row by row; the whole table where its rows have no key, or most of them differ. */
async function putRight(sides: Sides, { verdict, timeoutMs, onCopy }: Wrong, signal: AbortSignal): Promise<void> {
  const { table } = verdict.carried;
  const { differences, rows } = verdict.found;
  const keys = differences.map(({ key }) => key);
  if (keys.some((key) => key.length === 0) || 2 * keys.length > rows) {
    onCopy?.(table, 'table', rows);
    await recopy(sides, { table, whole: false }, signal);
    return;
  }
  onCopy?.(table, 'rows', keys.length);
  for (let from = 0; from < keys.length; from += keysMax) {
    const some = keys.slice(from, from + keysMax);
    await inTime(sides, timeoutMs, signal, (either) =>
      asked(sides, { ask: 'rows', id: randomUUID(), table: named(table), keys: some }, either),
    );
  }
}

/** Large enough that what a stand costs does not count, small enough that the others wait for seconds at the most. */
const partBytes = 32 * 1024 * 1024;

export interface RecopyOptions {
  readonly table: { readonly schema: string; readonly name: string };
  /** In one part, however large: a table that is set aside comes back so. */
  readonly whole: boolean;
  readonly bytes?: number;
  readonly onPart?: (rows: number) => void;
}

/** Copies a table anew, through the log, while the stream goes on. A large one in parts, where its key allows it, each as of a position of
 *  its own: what is behind a part stays as it was until its turn comes. Who reads a secondary sees the former rows of a part until the
 *  new ones are whole. Resolves once all of it is in the log. Takes as long as it takes. Throws VERIFY_REFUSED, VERIFY_NO_STAND. */
export async function recopy(
  sides: Sides,
  { table, whole, bytes = partBytes, onPart }: RecopyOptions,
  signal: AbortSignal,
): Promise<{ readonly rows: number; readonly position: Position }> {
  let rows = 0;
  let after: Key | undefined;
  for (;;) {
    const ask = { ask: 'table', id: randomUUID(), table: named(table), after, ...(!whole && { bytes }) } as const;
    const { answer, position } = await asked(sides, ask, signal);
    if (answer.answer !== 'rows') throw new ChangeoverError('VERIFY_REFUSED', 'The answer is to another question');
    rows += answer.rows;
    onPart?.(rows);
    after = answer.upTo;
    if (after === undefined) return { rows, position };
  }
}

const named = ({ schema, name }: { readonly schema: string; readonly name: string }) => ({ schema, name });
