import type { Delete, Insert, RowChange, Update } from '../../change/change.ts';
import type { Row } from '../../change/row.ts';
import type { Table } from '../../change/table.ts';
import { columnList, quoteIdentifier } from '../../engine/postgres/identifier.ts';
import { ChangeoverError } from '../../error.ts';
import { copyText, type Line } from './copy-text.ts';
import { changedPlaces, type PlanOf, plansOf } from './ordered.ts';
import { equality, type Plan } from './plan.ts';
import type { Session, Ticket } from './session.ts';

/** More staging tables than this are not kept: each is a relation that the server must look after at every commit. */
const stagesMax = 64;
const setColumn = 'changeover_set';

interface Sets {
  readonly inserts: Insert[];
  readonly updates: Update[];
  readonly deletes: Delete[];
}

/** Writes changes that have no order among them, at most one per key, set by set: COPY for what is added, COPY into a staging table
 *  and one statement for what changes or goes. Throws TARGET_CONFLICT when a constraint or a missing row is in the way. */
export class Bulk {
  readonly #session: Session;
  readonly #planOf: PlanOf;
  /** Oldest first. */
  readonly #staged: { readonly plan: Plan; readonly number: number }[] = [];
  #stagesEver = 0;
  /** Number of the last one that a commit has made lasting. */
  #lasting = 0;
  #setsEver = 0;

  constructor(session: Session, planOf: PlanOf) {
    this.#session = session;
    this.#planOf = planOf;
  }

  async write(changes: readonly RowChange[]): Promise<void> {
    const expected: { readonly ticket: Ticket; readonly rows: number; readonly name: string }[] = [];
    const plans = await plansOf(changes, this.#planOf);
    for (const [table, sets] of byTable(changes)) {
      const plan = plans(table);
      // Rows that go, before rows that change, before rows that come: a unique value is free before it is taken.
      if (sets.deletes.length > 0) {
        const ticket = await this.#remove(
          plan,
          sets.deletes.map((change) => change.before),
        );
        expected.push({ ticket, rows: sets.deletes.length, name: plan.name });
      }
      for (const { places, rows } of byPlaces(plan, sets.updates)) {
        const ticket = await this.#update(plan, places, rows);
        expected.push({ ticket, rows: rows.length, name: plan.name });
      }
      if (sets.inserts.length > 0)
        await this.#insert(
          plan,
          sets.inserts.map((change) => change.after),
        );
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

  async #insert(plan: Plan, rows: readonly Row[]): Promise<void> {
    await this.#session.copy(
      `COPY ${plan.name}${columnList(plan.columns)} FROM STDIN`,
      copyText(lines(rows, ''), plan.places),
    );
  }

  async #update(plan: Plan, places: readonly number[], rows: readonly Row[]): Promise<Ticket> {
    const columns = plan.columns.filter((column) => places.includes(column.place));
    const staged = await this.#fill(
      plan,
      columns.map((column) => column.name),
      places,
      rows,
    );
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

  async #remove(plan: Plan, keys: readonly Row[]): Promise<Ticket> {
    const names = plan.keyColumns.map((column) => column.name);
    const staged = await this.#fill(plan, names, plan.keyPlaces, keys);
    return this.#session.run(`DELETE FROM ${plan.alone} t USING ${staged} WHERE ${matching(plan.keyColumns)}`);
  }

  /** Copies rows into the staging table as a set of their own, and gives what to put behind FROM to see just that set as `s`. */
  async #fill(plan: Plan, names: readonly string[], places: readonly number[], rows: readonly Row[]): Promise<string> {
    const stage = await this.#stage(plan);
    this.#setsEver += 1;
    const set = this.#setsEver;
    const columns = [setColumn, ...names].map((name) => quoteIdentifier(name)).join(', ');
    await this.#session.copy(`COPY ${stage} (${columns}) FROM STDIN`, copyText(lines(rows, `${set}\t`), places));
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

function byTable(changes: readonly RowChange[]): Map<Table, Sets> {
  const tables = new Map<Table, Sets>();
  for (const change of changes) {
    let sets = tables.get(change.table);
    if (!sets) {
      sets = { inserts: [], updates: [], deletes: [] };
      tables.set(change.table, sets);
    }
    if (change.kind === 'insert') sets.inserts.push(change);
    else if (change.kind === 'update') sets.updates.push(change);
    else sets.deletes.push(change);
  }
  return tables;
}

/** Updates by the set of columns that they write: an unchanged value must stay as it is. */
function byPlaces(plan: Plan, updates: readonly Update[]): Iterable<{ places: readonly number[]; rows: Row[] }> {
  const groups = new Map<string, { places: readonly number[]; rows: Row[] }>();
  for (const { after } of updates) {
    const places = changedPlaces(plan, after);
    const key = places === plan.places ? '' : places.join(',');
    const group = groups.get(key);
    if (group) group.rows.push(after);
    else groups.set(key, { places, rows: [after] });
  }
  return groups.values();
}

function* lines(rows: readonly Row[], prefix: string): Generator<Line> {
  for (const row of rows) yield { prefix, row };
}

const matching = (columns: Plan['keyColumns']): string =>
  columns.map((column) => equality(column, 't.', `s.${quoteIdentifier(column.name)}`)).join(' AND ');
