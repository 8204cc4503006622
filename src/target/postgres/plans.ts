import type { Table } from '../../change/table.ts';
import { assert } from '../../error.ts';
import { type Plan, planFor } from './plan.ts';
import type { Session } from './session.ts';

/** How the tables of one session are written, each looked up once until the schema changes. */
export class Plans {
  readonly #session: Session;
  readonly #known = new Map<Table, Plan>();

  constructor(session: Session) {
    this.#session = session;
  }

  async of(table: Table): Promise<Plan> {
    await this.lookUp([{ table }]);
    return this.known(table);
  }

  /** Looks up what is not known yet of what the changes name. That settles the session: tickets do not outlive it. */
  async lookUp(changes: Iterable<{ readonly table: Table }>): Promise<void> {
    const unknown = new Set<Table>();
    for (const { table } of changes) if (!this.#known.has(table)) unknown.add(table);
    if (unknown.size === 0) return;
    const tables = [...unknown];
    for (const [index, plan] of (await planFor(this.#session, tables)).entries()) {
      const table = tables[index];
      if (table) this.#known.set(table, plan);
    }
  }

  has(table: Table): boolean {
    return this.#known.has(table);
  }

  /** Of a table that was looked up. */
  known(table: Table): Plan {
    const plan = this.#known.get(table);
    assert(plan !== undefined, 'A table that was not looked up');
    return plan;
  }

  /** The schema changed. */
  forget(): void {
    this.#known.clear();
  }
}
