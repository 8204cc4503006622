import type { Change } from '../change/change.ts';
import { offset } from '../change/position.ts';
import { cells, type Row } from '../change/row.ts';
import { stillSealed } from '../change/sealed.ts';
import { type Table, tableName } from '../change/table.ts';
import { countWords } from '../control/words.ts';
import { unreachable } from '../error.ts';
import { type Desk, outJson, paint, type Session, tame } from './desk.ts';
import type { ExitCode } from './failure.ts';
import { type ConfiguredOptions, configurationFor, numberIn } from './lane.ts';
import { outside, timeOf } from './log.ts';

/** By column: the source's text, null, or that the source did not send it. */
type Values = Readonly<Record<string, string | null | { readonly unchanged: true }>>;

/** The one place where row values are shown, because the operator asked for them. */
export async function logShow(session: Session, asked: string, options: ConfiguredOptions): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const wanted = numberIn(asked, { name: 'The offset' });
  await using reader = await house.logReader(await configurationFor(session, options), signal);
  const log = await reader.observe();
  if (wanted < log.first || wanted >= log.next) throw outside(wanted, log);
  for await (const { offset: at, epoch, batch } of reader.read(offset(wanted), signal)) {
    const { starts, after, end, changes } = batch;
    const place = { offset: at, epoch, starts, after: after?.token ?? null, end: end?.token ?? null };
    if (options.json) outJson(desk, { schema: 'changeover.log.show/1', ...place, changes: changes.flatMap(shown) });
    else {
      const reach = `after ${place.after ?? 'nothing'}, to ${place.end ?? 'be continued'}`;
      const head = paint(desk, 'bold', `entry ${at}`);
      desk.out(`${head}: epoch ${epoch}, ${countWords(changes.length, 'change', 'changes')}, ${reach}\n\n`);
      for (const change of changes.flatMap(shown)) desk.out(line(desk, change));
    }
    break;
  }
  return 0;
}

export interface Shown {
  readonly kind: Change['kind'];
  readonly table?: string;
  readonly before?: Values;
  readonly after?: Values;
  /** Everything that is not the content of a row. */
  readonly note?: string;
}

/** A change as values; a block of a snapshot as each of its rows. */
export function shown(change: Change): readonly Shown[] {
  const { kind } = change;
  switch (kind) {
    case 'insert':
      return [{ kind, table: tableName(change.table), after: valuesOf(change.table, change.after) }];
    case 'update': {
      const before = change.before && valuesOf(change.table, change.before);
      const after = valuesOf(change.table, change.after);
      return [{ kind, table: tableName(change.table), ...(before && { before }), after }];
    }
    case 'delete':
      return [{ kind, table: tableName(change.table), before: valuesOf(change.table, change.before) }];
    case 'truncate': {
      const how = [...(change.cascade ? ['cascade'] : []), ...(change.restartIdentity ? ['restart identity'] : [])];
      return change.tables.map((table) => ({ kind, table: tableName(table), note: how.join(', ') }));
    }
    case 'message':
      return [{ kind, note: `${change.prefix}: ${change.content.toString()}` }];
    case 'commit':
      return [{ kind, note: `${change.transaction} at ${change.position.token}, ${timeOf(change.committedAtUs)}` }];
    case 'snapshot':
      return [{ kind, note: `of ${change.tables.map(tableName).join(', ')}` }];
    case 'schema':
      return change.statements.map(({ object, sql }) => ({ kind, note: `${object}: ${sql}` }));
    case 'ddl':
      return [
        { kind, note: change.refusal === undefined ? change.statement : `${change.statement} (${change.refusal})` },
      ];
    case 'clear':
      return [{ kind, table: tableName(change.table), note: 'its rows come anew' }];
    case 'control':
      return [{ kind, note: JSON.stringify(change.event) }];
    case 'sealed':
      throw stillSealed();
    case 'sequences':
      return change.values.map(({ schema, name, last, called }) => ({
        kind,
        note: `${tableName({ schema, name })} is at ${last}${called ? '' : ', not given out yet'}`,
      }));
    case 'rows':
      return copiedRows(change.block).map((row) => ({
        kind,
        table: tableName(change.table),
        after: byColumn(change.table, row),
      }));
    default:
      return unreachable(kind);
  }
}

const valuesOf = (table: Table, row: Row): Values =>
  byColumn(
    table,
    [...cells(row)].map((cell) =>
      Buffer.isBuffer(cell) ? cell.toString() : cell === null ? null : { unchanged: true },
    ),
  );

const byColumn = (table: Table, values: readonly Values[string][]): Values =>
  Object.fromEntries(values.map((value, index) => [table.columns[index]?.name ?? `column ${index + 1}`, value]));

const escapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** https://www.postgresql.org/docs/current/sql-copy.html (Text Format) */
const copiedRows = (block: Buffer): readonly (readonly (string | null)[])[] =>
  block
    .toString()
    .split('\n')
    .slice(0, -1)
    .map((row) =>
      row
        .split('\t')
        .map((text) =>
          text === '\\N' ? null : text.replaceAll(/\\(.)/gs, (_, letter: string) => escapes[letter] ?? letter),
        ),
    );

export function line(desk: Desk, { kind, table, before, after, note }: Shown): string {
  const values = [
    ...(before ? [`(${valueWords(before)})`] : []),
    ...(before && after ? ['->'] : []),
    ...(after ? [valueWords(after)] : []),
    ...(note ? [tame(note).replaceAll('\n', '\n    ')] : []),
  ];
  return `  ${[paint(desk, 'cyan', kind.padEnd(8)), ...(table === undefined ? [] : [tame(table)]), ...values].join(' ')}\n`;
}

const valueWords = (values: Values): string =>
  Object.entries(values)
    .map(([column, value]) => `${tame(column)}=${valueWord(value)}`)
    .join(' ');

/** As JSON, so that a line break in a value stays in its line. */
const valueWord = (value: Values[string]): string =>
  value === null ? 'null' : typeof value === 'string' ? tame(JSON.stringify(value)) : '(unchanged)';
