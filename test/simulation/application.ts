import type { Chance } from './chance.ts';
import type { Checks } from './checks.ts';
import { changeOf, type Database, type Session, type Write } from './database.ts';
import type { Scheduler } from './scheduler.ts';

const accounts = 6;

export interface ApplicationOptions {
  readonly scheduler: Scheduler;
  readonly chance: Chance;
  readonly checks: Checks;
  readonly sites: readonly [Database, Database];
}

/** A client of the business: has an address of each site, and writes at whichever lets it in. Its way to the sites is not ours. */
export class Application {
  readonly #options: ApplicationOptions;
  #at = 0;
  #isOver = false;

  constructor(options: ApplicationOptions) {
    this.#options = options;
    this.#soon(0, 50, () => this.#login());
  }

  /** No more transactions. */
  stop(): void {
    this.#isOver = true;
  }

  #soon(least: number, most: number, work: () => void): void {
    const { scheduler, chance } = this.#options;
    scheduler.after(least + (most - least) * chance.next(), () => {
      if (!this.#isOver) work();
    });
  }

  #login(): void {
    const { sites, chance } = this.#options;
    const site = sites[this.#at];
    if (!site?.isUp || site.isShut) {
      this.#at = 1 - this.#at;
      this.#soon(20, 200, () => this.#login());
      return;
    }
    const session: Session = { isOpen: true };
    site.sessions.add(session);
    this.#transact({ site, session, left: chance.between(1, 30) });
  }

  #transact(working: Working): void {
    const { site, session, left } = working;
    const { chance, checks } = this.#options;
    if (left === 0) session.isOpen = false;
    if (!session.isOpen) {
      site.sessions.delete(session);
      // Whose address is asked for first is nobody's to say.
      if (chance.is(0.3)) this.#at = 1 - this.#at;
      this.#soon(1, 100, () => this.#login());
      return;
    }
    site.sequence += 1n;
    const receipt = site.sequence;
    checks.drew(site, receipt);
    this.#soon(0.2, 3, () => this.#commit(working, receipt));
  }

  #commit(working: Working, receipt: bigint): void {
    const { site, session, left } = working;
    const { scheduler, chance, checks } = this.#options;
    if (!session.isOpen || chance.is(0.05)) {
      this.#soon(1, 20, () => this.#transact(working));
      return;
    }
    const writes = this.#writes(receipt);
    const changes = writes
      .filter(({ key, value }) => value !== undefined || site.rows.has(key))
      .map((write) => changeOf(write, site.rows.has(write.key)));
    checks.committed(site);
    site.transact(writes, changes);
    const committedAtMs = scheduler.nowMs;
    const { incarnation } = site;
    scheduler.after(0.5 + 3 * chance.next(), () => {
      if (!site.isUp || site.incarnation !== incarnation) {
        this.#soon(1, 100, () => this.#login());
        return;
      }
      site.flush();
      // From here on the client may know.
      checks.told(receipt, { site: site.name, committedAtMs });
      this.#soon(5, chance.is(0.2) ? 600 : 100, () => this.#transact({ ...working, left: left - 1 }));
    });
  }

  #writes(receipt: bigint): readonly Write[] {
    const { chance } = this.#options;
    const writes = new Map([[`receipt/${receipt}`, String(chance.between(0, 999))]] as [string, string | undefined][]);
    // Now and then more than a batch should hold.
    const many = chance.is(0.04) ? 14 : chance.between(0, 2);
    for (let count = 0; count < many; count += 1) {
      const key = many > 2 ? `account/${receipt}-${count}` : `account/${chance.between(1, accounts)}`;
      writes.set(key, chance.is(0.15) && many < 3 ? undefined : String(chance.between(0, 9999)));
    }
    return [...writes].map(([key, value]) => ({ key, value }));
  }
}

interface Working {
  readonly site: Database;
  readonly session: Session;
  readonly left: number;
}
