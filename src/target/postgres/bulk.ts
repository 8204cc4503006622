import { type Net, RowList } from '../../change/net.ts';
import { hasUnchangedAt } from '../../change/row.ts';
import type { Table } from '../../change/table.ts';
import { columnList, quoteIdentifier } from '../../engine/postgres/identifier.ts';
import { ChangeoverError, unreachable } from '../../error.ts';
import { copyText } from './copy-text.ts';
import { changedPlaces } from './ordered.ts';
import { equality, type Plan } from './plan.ts';
import type { Plans } from './plans.ts';
import type { Session, Ticket } from './session.ts';

/** More staging tables than this are not kept: each is a relation that the server must look after at every commit. */
const stagesMax = 64;
const setColumn = 'changeover_set';

/** Rows that are written to one table by one statement, as the text of COPY. */
interface Packed {
  readonly kind: 'insert' | 'update' | 'delete';
  readonly table: Table;
  readonly plan: Plan;
  /** Of the columns that the text holds. */
  readonly places: readonly number[];
  /** Numbers the set in its staging table, which lines of changes that go through one begin with. */
  readonly set: number;
  readonly rows: number;
  readonly text: Iterable<Buffer>;
}

/** Writes changes that have no order among them, at most one per key, set by set: COPY for what is added, COPY into a staging table
 *  and one statement for what changes or goes. Throws TARGET_CONFLICT when a constraint or a missing row is in the way. */
export class Bulk {
  readonly #session: Session;
  readonly #plans: Plans;
  /** Oldest first. */
  readonly #staged: { readonly plan: Plan; readonly number: number }[] = [];
  readonly #prepared = new WeakMap<Net, readonly Packed[]>();
  #stagesEver = 0;
  /** Number of the last one that a commit has made lasting. */
  #lasting = 0;
  #setsEver = 0;

  constructor(session: Session, plans: Plans) {
    this.#session = session;
    this.#plans = plans;
  }

  /** Makes the text of just this one, if all of its tables are known. At any time. */
  prepare(net: Net): void {
    if (!net.every(({ table }) => this.#plans.has(table))) return;
    this.#prepared.set(
      net,
      Array.from(this.#pack(net), (one) => ({ ...one, text: [...one.text] })),
    );
  }

  async write(net: Net): Promise<void> {
    const expected: { readonly ticket: Ticket; readonly rows: number; readonly name: string }[] = [];
    await this.#plans.lookUp(net);
    const prepared = this.#prepared.get(net);
    const isOurs = prepared?.every(({ table, plan }) => this.#plans.known(table) === plan);
    for (const packed of isOurs && prepared ? prepared : this.#pack(net)) {
      const ticket = await this.#send(packed);
      if (packed.kind !== 'insert') expected.push({ ticket, rows: packed.rows, name: packed.plan.name });
    }
    const counts = await this.#session.settle('Applying changes');
    for (const { ticket, rows, name } of expected) {
      if (counts[ticket] === rows) continue;
      throw new ChangeoverError(
        'TARGET_CONFLICT',
        `${counts[ticket]} of ${rows} rows of ${name} were found at the secondary`,
      );
    }
  }

  *#pack(net: Net): Generator<Packed> {
    for (const { table, deletes, updates, inserts } of net) {
      const plan = this.#plans.known(table);
      // Rows that go, before rows that change, before rows that come: a unique value is free before it is taken.
      if (deletes.length > 0) yield { kind: 'delete', table, plan, ...this.#asStaged(deletes, plan.keyPlaces) };
      for (const { places, rows } of byPlaces(plan, updates))
        yield { kind: 'update', table, plan, ...this.#asStaged(rows, places) };
      if (inserts.length > 0) {
        const text = copyText(inserts, '', plan.places);
        yield { kind: 'insert', table, plan, places: plan.places, set: 0, rows: inserts.length, text };
      }
    }
  }

  #asStaged(rows: RowList, places: readonly number[]): Pick<Packed, 'places' | 'set' | 'rows' | 'text'> {
    this.#setsEver += 1;
    const text = copyText(rows, `${this.#setsEver}\t`, places);
    return { places, set: this.#setsEver, rows: rows.length, text };
  }

  #send(packed: Packed): Promise<Ticket> {
    switch (packed.kind) {
      case 'insert': {
        const { plan, text } = packed;
        return this.#session.copy(`COPY ${plan.name}${columnList(plan.columns)} FROM STDIN`, text);
      }
      case 'update':
        return this.#update(packed);
      case 'delete':
        return this.#remove(packed);
      default:
        return unreachable(packed.kind);
    }
  }

  async #update(packed: Packed): Promise<Ticket> {
    const { plan, places } = packed;
    const columns = plan.columns.filter((column) => places.includes(column.place));
    const staged = await this.#fill(packed, columns);
    // A row with another value in a fixed column is not found, and the way back replaces it.
    const same = matching([...plan.keyColumns, ...plan.fixedColumns]);
    const set = columns.filter((column) => !column.always && !column.key).map((column) => quoteIdentifier(column.name));
    const assignments = set.map((name) => `${name} = s.${name}`).join(', ');
    // Where nothing but the key was sent, nothing changes, but the row must be there.
    const sql =
      set.length > 0
        ? `UPDATE ${plan.alone} t SET ${assignments} FROM ${staged} WHERE ${same}`
        : `SELECT FROM ${plan.alone} t, ${staged} WHERE ${same}`;
    return this.#session.run(sql);
  }

  async #remove(packed: Packed): Promise<Ticket> {
    const { plan } = packed;
    const staged = await this.#fill(packed, plan.keyColumns);
    return this.#session.run(`DELETE FROM ${plan.alone} t USING ${staged} WHERE ${matching(plan.keyColumns)}`);
  }

  /** Copies rows into the staging table as a set of their own, and gives what to put behind FROM to see just that set as `s`. */
  async #fill({ plan, set, text }: Packed, columns: Plan['columns']): Promise<string> {
    const stage = await this.#stage(plan);
    await this.#session.copy(`COPY ${stage}${columnList([{ name: setColumn }, ...columns])} FROM STDIN`, text);
    // In the order of the key: neighbours in the index are then visited one after the other, which halves the time of an update.
    const order = plan.keyColumns.map((column) => quoteIdentifier(column.name)).join(', ');
    return `(SELECT * FROM ${stage} WHERE ${quoteIdentifier(setColumn)} = ${set} ORDER BY ${order}) s`;
  }

  /** A temporary table with the columns of the plan's table and nothing else of it, emptied by each commit. */
  async #stage(plan: Plan): Promise<string> {
    if (plan.stage) return plan.stage;
    if (this.#staged.length >= stagesMax) {
      const oldest = this.#staged.shift()?.plan;
      if (oldest?.stage) await this.#session.run(`DROP TABLE ${oldest.stage}`);
      if (oldest) oldest.stage = undefined;
    }
    this.#stagesEver += 1;
    const name = `changeover_stage_${this.#stagesEver}`;
    // A column of a domain is staged as its base type: a domain may refuse the nulls of columns that a set leaves out.
    const columns = plan.columns.map(({ name: column, baseType }) =>
      baseType ? `${quoteIdentifier(column)}::${baseType}` : quoteIdentifier(column),
    );
    await this.#session.run(
      `CREATE TEMPORARY TABLE ${name} ON COMMIT DELETE ROWS AS
       SELECT 0 AS ${quoteIdentifier(setColumn)}, ${columns.join(', ')} FROM ${plan.name} WITH NO DATA`,
    );
    plan.stage = `pg_temp.${name}`;
    this.#staged.push({ plan, number: this.#stagesEver });
    return plan.stage;
  }

  /** Stands for the staging tables made so far. */
  get mark(): number {
    return this.#stagesEver;
  }

  /** After a commit: the staging tables made so far are there to stay. */
  committed(): void {
    this.#lasting = this.#stagesEver;
  }

  /** After a rollback to a savepoint, those made since `mark` are gone; without one, those made since the last commit. */
  rolledBack(mark = this.#lasting): void {
    const from = this.#staged.findIndex(({ number }) => number > mark);
    if (from >= 0) for (const { plan } of this.#staged.splice(from)) plan.stage = undefined;
  }

  /** Before plans are forgotten. */
  async drop(): Promise<void> {
    for (const { plan } of this.#staged.splice(0)) {
      await this.#session.run(`DROP TABLE IF EXISTS ${plan.stage}`);
      plan.stage = undefined;
    }
  }
}

/** Updates by the set of columns that they write: an unchanged value must stay as it is. */
function byPlaces(
  plan: Plan,
  updates: RowList,
): Iterable<{ readonly places: readonly number[]; readonly rows: RowList }> {
  const groups = new Map<string, { readonly places: readonly number[]; readonly rows: RowList }>();
  for (const [index, bytes] of updates.bytes.entries()) {
    const [start, end] = [updates.starts[index] ?? 0, updates.ends[index] ?? 0];
    const isWhole = !hasUnchangedAt(bytes, start);
    const places = isWhole ? plan.places : changedPlaces(plan, bytes.subarray(start, end));
    const key = isWhole ? '' : places.join(',');
    const group = groups.get(key) ?? { places, rows: new RowList() };
    groups.set(key, group);
    group.rows.push(bytes, start, end);
  }
  return groups.values();
}

const matching = (columns: Plan['keyColumns']): string =>
  columns.map((column) => equality(column, 't.', `s.${quoteIdentifier(column.name)}`)).join(' AND ');
