import type { Change, Clear, Commit, Control, Message, RowChange, Rows, Snapshot } from '../../change/change.ts';
import type { Net } from '../../change/net.ts';
import { stillSealed } from '../../change/sealed.ts';
import { type Table, tableName } from '../../change/table.ts';
import { sqlState } from '../../engine/postgres/failure.ts';
import { columnList, quoteLiteral, quoteTable } from '../../engine/postgres/identifier.ts';
import { rangeSql } from '../../engine/postgres/range.ts';
import { assert, ChangeoverError, isCode, unreachable } from '../../error.ts';
import type { Checkpoint, TargetTransaction } from '../target.ts';
import type { Bulk } from './bulk.ts';
import { addCopiedSql, readCopiedSql } from './checkpoint.ts';
import { replay } from './ddl.ts';
import { foundAll, isRowChange, type Search, sendOrdered, writeCarefully } from './ordered.ts';
import { aloneName } from './plan.ts';
import type { Plans } from './plans.ts';
import { replaceRows } from './replace-rows.ts';
import { createSchema } from './schema.ts';
import { setSequences } from './sequences.ts';
import type { Session, Ticket } from './session.ts';
import type { Aside } from './set-aside.ts';

export interface TransactionOptions {
  readonly session: Session;
  readonly bulk: Bulk;
  readonly plans: Plans;
  readonly lane: string;
  /** What is passed over. */
  readonly aside: Aside;
  /** Sends what replaces the checkpoint; it must touch one row. */
  readonly sendCheckpoint: (checkpoint: Checkpoint, drifted: number) => Promise<Ticket>;
  readonly committed: (checkpoint: Checkpoint) => void;
}

/** Begins when first written to. */
export class PostgresTransaction implements TargetTransaction {
  readonly #options: TransactionOptions;
  #state: 'fresh' | 'open' | 'done' = 'fresh';
  #drifted = 0;
  /** Sent, and not known to have found their rows: looked at when the next thing must be known, so that a small transaction goes out
   *  together with its checkpoint. */
  #unproven: { readonly changes: readonly RowChange[]; readonly searches: readonly Search[] } | undefined;

  /** What an earlier write failed of, though it was noticed by a later one: no way back of that one's can mend it. */
  #doom: { readonly error: unknown } | undefined;

  constructor(options: TransactionOptions) {
    this.#options = options;
  }

  async write(changes: readonly Change[]): Promise<void> {
    await this.#begin();
    await this.#prove();
    const carried = this.#options.aside.carried(changes);
    let run: RowChange[] = [];
    let copied: Rows[] = [];
    const close = async (): Promise<void> => {
      await this.#writeOrdered(run);
      run = [];
      await this.#prove();
      await this.#copy(copied);
      copied = [];
    };
    for (const change of carried) {
      if (change.kind === 'commit' || change.kind === 'message' || change.kind === 'control') continue;
      if (isRowChange(change)) {
        if (copied.length > 0) await close();
        run.push(change);
      } else if (change.kind === 'rows') {
        if (run.length > 0) await close();
        copied.push(change);
      } else {
        await close();
        await this.#writeOther(change);
      }
    }
    await (copied.length > 0 ? close() : this.#writeOrdered(run));
  }

  async writeNet(net: Net): Promise<void> {
    await this.#begin();
    await this.#prove();
    const { session, bulk, aside } = this.#options;
    await session.run('SAVEPOINT net');
    const { mark } = bulk;
    try {
      await bulk.write(aside.carriedNet(net));
      await session.run('RELEASE SAVEPOINT net');
    } catch (error) {
      if (isCode(error, 'TARGET_CONFLICT')) {
        bulk.rolledBack(mark);
        await session.run('ROLLBACK TO SAVEPOINT net');
      }
      throw error;
    }
  }

  async commit(checkpoint: Checkpoint): Promise<void> {
    const { session, bulk, aside, lane, sendCheckpoint, committed } = this.#options;
    await this.#begin();
    await aside.send(session, lane);
    let ticket = await sendCheckpoint(checkpoint, this.#driftedAt(checkpoint));
    let counts = await session.settle('Applying changes');
    if (this.#isMissing(counts)) {
      await this.#mend();
      // What was mended was undone first, and this with it.
      await aside.send(session, lane);
      ticket = await sendCheckpoint(checkpoint, this.#driftedAt(checkpoint));
      counts = await session.settle('Applying changes');
    }
    if (counts[ticket] !== 1)
      throw new ChangeoverError('TARGET_STALE', 'The checkpoint is not the one that we continue from');
    // Once COMMIT is sent nobody knows whether it came through, until the checkpoint is read again.
    this.#state = 'done';
    try {
      await session.run('COMMIT');
      await session.settle('Committing');
    } catch (error) {
      // A constraint that waits for the commit may have refused it: nothing that the transaction made is there.
      bulk.rolledBack();
      throw error;
    }
    bulk.committed();
    aside.committed();
    committed(checkpoint);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'done';
    const { session, bulk } = this.#options;
    bulk.rolledBack();
    try {
      // What is still on its way may fail; it is being undone.
      await session.settle('Rolling back').catch(() => undefined);
      await session.run('ROLLBACK');
      await session.settle('Rolling back');
    } catch {
      // The connection is gone, and the transaction with it.
      session.close();
    }
  }

  async #begin(): Promise<void> {
    // What is written behind a COMMIT would be committed by itself, without a checkpoint.
    assert(this.#state !== 'done', 'A target transaction was used after its end');
    if (this.#doom) throw this.#doom.error;
    if (this.#state !== 'fresh') return;
    this.#state = 'open';
    this.#options.aside.begin();
    await this.#options.session.begin();
  }

  async #writeOrdered(changes: readonly RowChange[]): Promise<void> {
    if (changes.length === 0) return;
    await this.#prove();
    const { session, plans } = this.#options;
    this.#unproven = { changes, searches: await sendOrdered(session, changes, plans) };
  }

  /** Waits for what was sent, and mends it where rows were missing. */
  async #prove(): Promise<void> {
    if (!this.#unproven) return;
    try {
      const counts = await this.#options.session.settle('Applying changes');
      if (this.#isMissing(counts)) await this.#mend();
    } catch (error) {
      this.#doom = { error };
      throw error;
    }
    this.#unproven = undefined;
    // Or each would stand within the one before, for as long as the transaction lasts.
    await this.#options.session.run('RELEASE SAVEPOINT ordered');
  }

  #isMissing(counts: readonly number[]): boolean {
    return this.#unproven !== undefined && !foundAll(this.#unproven.searches, counts);
  }

  /** While a copy is not whole, rows are missing that nobody took away. */
  #driftedAt({ position }: Checkpoint): number {
    return position === undefined ? 0 : this.#drifted;
  }

  async #mend(): Promise<void> {
    const { session, plans } = this.#options;
    this.#drifted += await writeCarefully(session, this.#unproven?.changes ?? [], plans);
    this.#unproven = undefined;
  }

  async #writeOther(change: Exclude<Change, RowChange | Rows | Commit | Message | Control>): Promise<void> {
    const { session, bulk, plans } = this.#options;
    switch (change.kind) {
      case 'truncate':
        // The primary names every table that its CASCADE reached. Here it could reach others, whose rows are not ours.
        return this.#empty(change.tables, change.restartIdentity);
      case 'clear':
        return this.#clear(change);
      case 'schema':
        await bulk.drop();
        plans.forget();
        await createSchema(session, change);
        return;
      case 'ddl':
        await bulk.drop();
        plans.forget();
        await replay(session, change);
        return;
      case 'sequences':
        return setSequences(session, change);
      case 'snapshot':
        return this.#makeRoom(change);
      case 'sealed':
        throw stillSealed();
      default:
        return unreachable(change);
    }
  }

  /** DELETE, where TRUNCATE would shut readers out until the new rows are whole. */
  async #clear({ table, after, upTo }: Clear): Promise<void> {
    const { session } = this.#options;
    const range = rangeSql(table, { after, upTo });
    await session.run(`DELETE FROM ${await aloneName(session, table)}${range === undefined ? '' : ` WHERE ${range}`}`);
    await session.settle(`Clearing ${tableName(table)}`);
  }

  /** Sends blocks one behind the other. Where one of them is refused, each is copied by itself: then it shows which, and why. */
  async #copy(blocks: readonly Rows[]): Promise<void> {
    if (blocks.length < 2) {
      for (const rows of blocks) await this.#copyCarefully(rows);
      return;
    }
    const { session } = this.#options;
    await session.run('SAVEPOINT copying');
    try {
      for (const rows of blocks) await session.copy(copySql(rows), [rows.block]);
      await session.settle('Copying');
      await session.run('RELEASE SAVEPOINT copying');
    } catch (error) {
      if (sqlState(error) === undefined) throw error;
      await session.run('ROLLBACK TO SAVEPOINT copying');
      for (const rows of blocks) await this.#copyCarefully(rows);
    }
  }

  /** Where a copy went on after an interruption, rows may be there already: then each takes the place of the one with its key. */
  async #copyCarefully(rows: Rows): Promise<void> {
    const { session, plans } = this.#options;
    const plan = await plans.of(rows.table);
    await session.run('SAVEPOINT copying');
    try {
      await session.copy(copySql(rows), [rows.block]);
      await session.settle(`Copying ${tableName(rows.table)}`);
    } catch (error) {
      if (plan.keyColumns.length === 0 || !isCode(error, 'TARGET_CONFLICT')) throw error;
      await session.run('ROLLBACK TO SAVEPOINT copying');
      await replaceRows(session, plan, rows);
    }
    await session.run('RELEASE SAVEPOINT copying');
  }

  /** Empties the snapshot's tables where the lane copied into them before. Rows of somebody else are never overwritten. */
  async #makeRoom({ tables }: Snapshot): Promise<void> {
    const { session, lane, aside } = this.#options;
    if (tables.length === 0) return;
    aside.allBack(tables);
    const copied = await session.rows(readCopiedSql(lane), 'Looking for what was copied before');
    const ours = new Set(copied.map(([schema, name]) => tableName({ schema: schema ?? '', name: name ?? '' })));
    const toEmpty: Table[] = [];
    for (const table of tables) {
      const [found] = await session.rows(
        `SELECT pg_catalog.to_regclass(${quoteLiteral(quoteTable(table))})`,
        `Looking for ${tableName(table)}`,
      );
      if (!found?.[0]) continue;
      if (ours.has(tableName(table))) toEmpty.push(table);
      else await this.#mustBeEmpty(table);
    }
    if (toEmpty.length > 0) await this.#empty(toEmpty);
    await session.run(addCopiedSql(lane, tables));
    await session.settle('Noting what is copied');
  }

  async #mustBeEmpty(table: Table): Promise<void> {
    const name = tableName(table);
    const [row] = await this.#options.session.rows(
      `SELECT 1 FROM ${quoteTable(table)} LIMIT 1`,
      `Looking into ${name}`,
    );
    if (row) throw new ChangeoverError('TARGET_NOT_EMPTY', `The table ${name} at the secondary holds rows already`);
  }

  /** TRUNCATE where it is allowed: it frees the space at once. It refuses a table that a foreign key of another table, or of its
   *  own partitioned parent, refers to; as a replica we may delete all the same. The sequences then go on where they stand: nobody
   *  draws from them here. */
  async #empty(tables: readonly Table[], restartIdentity = false): Promise<void> {
    const { session } = this.#options;
    const names: string[] = [];
    for (const table of tables) names.push(await aloneName(session, table));
    await session.run('SAVEPOINT emptying');
    try {
      await session.run(`TRUNCATE ${names.join(', ')}${restartIdentity ? ' RESTART IDENTITY' : ''}`);
      await session.settle('Emptying tables');
    } catch (error) {
      if (sqlState(error) !== '0A000') throw error;
      await session.run('ROLLBACK TO SAVEPOINT emptying');
      for (const name of names) await session.run(`DELETE FROM ${name}`);
      await session.settle('Emptying tables');
    }
    await session.run('RELEASE SAVEPOINT emptying');
  }
}

const copySql = ({ table }: Rows): string => `COPY ${quoteTable(table)}${columnList(table.columns)} FROM STDIN`;
