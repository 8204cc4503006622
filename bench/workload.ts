import type { Connection } from '../src/engine/postgres/connect.ts';

/* The tables and the transaction of TPC-B, as everyone who measures PostgreSQL knows them: three updates and one insert.
   https://www.postgresql.org/docs/current/pgbench.html (What Is the “Transaction” Actually Performed in pgbench?) */

export const accountsPerScale = 100_000;
const changesPerTransaction = 4;
/** Enough that commits overlap and the workload is made quickly; too few to fight over the branches' ten rows. */
const clients = 4;

export const tables = ['accounts', 'branches', 'history', 'pulse', 'tellers'] as const;

/** `pulse` holds one row: whoever sees its number at a secondary sees all that was committed before it. */
const schema = `
  CREATE TABLE public.branches (bid int PRIMARY KEY, bbalance int NOT NULL, filler char(88));
  CREATE TABLE public.tellers (tid int PRIMARY KEY, bid int NOT NULL, tbalance int NOT NULL, filler char(84));
  CREATE TABLE public.accounts (aid int PRIMARY KEY, bid int NOT NULL, abalance int NOT NULL, filler char(84));
  CREATE TABLE public.history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
  CREATE TABLE public.pulse (id int PRIMARY KEY, number int NOT NULL)`;

/** One transaction per call of `transfer`; `work` commits each by itself. */
const routines = `
  CREATE PROCEDURE public.transfer(scale int) LANGUAGE plpgsql AS $$
  DECLARE
    delta int := floor(random() * 10000) - 5000;
    account int := 1 + floor(random() * scale * ${accountsPerScale});
    teller int := 1 + floor(random() * scale * 10);
    branch int := 1 + floor(random() * scale);
  BEGIN
    UPDATE public.accounts SET abalance = abalance + delta WHERE aid = account;
    UPDATE public.tellers SET tbalance = tbalance + delta WHERE tid = teller;
    UPDATE public.branches SET bbalance = bbalance + delta WHERE bid = branch;
    INSERT INTO public.history (tid, bid, aid, delta, mtime) VALUES (teller, branch, account, delta, clock_timestamp());
  END $$;
  CREATE PROCEDURE public.work(transactions int, scale int) LANGUAGE plpgsql AS $$
  BEGIN
    FOR i IN 1 .. transactions LOOP
      CALL public.transfer(scale);
      COMMIT;
    END LOOP;
  END $$`;

export async function createTables(connection: Connection): Promise<void> {
  await connection.rows(schema);
}

export async function createData(connection: Connection, scale: number): Promise<void> {
  await connection.rows(routines);
  await connection.rows(
    `INSERT INTO public.branches SELECT i, 0 FROM generate_series(1, ${scale}) i;
     INSERT INTO public.tellers SELECT i, (i - 1) / 10 + 1, 0 FROM generate_series(1, ${scale * 10}) i;
     INSERT INTO public.accounts
       SELECT i, (i - 1) / ${accountsPerScale} + 1, 0, '' FROM generate_series(1, ${scale * accountsPerScale}) i;
     INSERT INTO public.pulse VALUES (1, 0)`,
  );
  await connection.rows('VACUUM ANALYZE');
}

/** What a primary is given to do while nobody reads it. */
export interface Workload {
  readonly name: string;
  readonly says: string;
  /** Those that it changes. */
  readonly tables: readonly string[];
  /** That it makes, all in all. */
  readonly changes: number;
  /** `open` gives a connection to the primary. */
  work(open: () => Promise<Connection>): Promise<void>;
}

export function tpcb({ changes, scale }: { readonly changes: number; readonly scale: number }): Workload {
  const transactions = Math.ceil(changes / changesPerTransaction);
  return {
    name: 'tpcb',
    says: `TPC-B, ${changesPerTransaction} changes to a transaction`,
    tables,
    changes: transactions * changesPerTransaction,
    work: (open) => work(open, { transactions, scale }),
  };
}

/** Commits `transactions` transactions, each by itself, from several clients at once. */
async function work(
  open: () => Promise<Connection>,
  { transactions, scale }: { readonly transactions: number; readonly scale: number },
): Promise<void> {
  const share = (index: number): number =>
    Math.floor(transactions / clients) + (index < transactions % clients ? 1 : 0);
  await Promise.all(
    Array.from({ length: clients }, async (_, index) => {
      await using connection = await open();
      // The WAL is the same; only its making does not wait for the disk. The pulse that follows does, and carries all of it out.
      await connection.rows('SET synchronous_commit = off');
      await connection.rows(`CALL public.work(${share(index)}, ${scale})`);
    }),
  );
}

export async function setPulse(connection: Connection, number: number): Promise<void> {
  await connection.rows(`UPDATE public.pulse SET number = ${number}`);
}

export async function pulse(connection: Connection): Promise<number> {
  const [row] = await connection.rows('SELECT number FROM public.pulse');
  return Number(row?.[0] ?? -1);
}

/** Count and digest of each of the named tables: equal for equal contents, in whatever order the rows lie. */
export async function digest(connection: Connection, names: readonly string[] = tables): Promise<string> {
  const lines: string[] = [];
  for (const name of names) {
    const [row] = await connection.rows(`SELECT count(*), sum(hashtextextended(t::text, 0)) FROM public.${name} t`);
    lines.push(`${name} ${row?.[0]} ${row?.[1]}`);
  }
  return lines.join('; ');
}
