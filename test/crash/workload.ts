import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '../../src/demo/postgres-server.ts';
import { connect } from '../../src/engine/postgres/connect.ts';
import { isCode } from '../../src/error.ts';
import { never } from '../servers/postgres.ts';

export const accounts = 40;
const opening = 1000;
/** What all accounts hold together, at any moment. */
export const money = accounts * opening;

/** Every transaction is numbered in the order of the commits (`ledger`) and within its client (`transfer`), moves money between two
 *  accounts, and does one thing more of a kind that replication may trip over. */
export const schema = [
  'CREATE TABLE public.account (id int PRIMARY KEY, balance bigint NOT NULL, note text)',
  'ALTER TABLE public.account ALTER note SET STORAGE EXTERNAL',
  `INSERT INTO public.account SELECT i, ${opening}, repeat(i::text || ' ', 2000) FROM generate_series(1, ${accounts}) i`,
  'CREATE TABLE public.client (id int PRIMARY KEY, counter int NOT NULL)',
  'CREATE TABLE public.transfer (client int, counter int, source int, target int, amount int, PRIMARY KEY (client, counter))',
  'CREATE TABLE public.head (id int PRIMARY KEY, number int NOT NULL)',
  'INSERT INTO public.head VALUES (1, 0)',
  'CREATE TABLE public.ledger (number int PRIMARY KEY, client int, counter int)',
  'CREATE TABLE public.scratch (id int PRIMARY KEY, code int UNIQUE, value text)',
  'INSERT INTO public.scratch SELECT i, i, i::text FROM generate_series(1, 50) i',
  'CREATE TABLE public.loose (a int, value text)',
  'CREATE TABLE public.emptied (id int PRIMARY KEY)',
  'CREATE TABLE public.event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value text)',
  'CREATE TABLE public.bulk (id int PRIMARY KEY, value text)',
  `CREATE FUNCTION public.step(who int, a int, b int, amount int, kind int, pick int) RETURNS int LANGUAGE plpgsql
   SET search_path = public AS $$
   DECLARE n int; own int;
   BEGIN
     -- Whoever has this row is the only one at work: the numbers are the order of the commits.
     UPDATE head SET number = number + 1 RETURNING number INTO n;
     UPDATE client SET counter = counter + 1 WHERE id = who RETURNING counter INTO own;
     INSERT INTO transfer VALUES (who, own, a, b, amount);
     UPDATE account SET balance = balance - amount WHERE id = a;
     UPDATE account SET balance = balance + amount WHERE id = b;
     CASE kind
       WHEN 0 THEN INSERT INTO scratch SELECT i, i, 'new' FROM generate_series(pick * 10, pick * 10 + 9) i ON CONFLICT DO NOTHING;
       WHEN 1 THEN DELETE FROM scratch WHERE id % 50 = pick;
       WHEN 2 THEN UPDATE scratch SET id = n + 1000000 WHERE id = (SELECT min(id) FROM scratch);
       WHEN 3 THEN
         UPDATE scratch SET code = -code WHERE id IN (SELECT id FROM scratch ORDER BY id LIMIT 2);
         UPDATE scratch s SET code = -o.code FROM scratch o WHERE s.code < 0 AND o.code < 0 AND s.id <> o.id AND s.id < o.id;
         UPDATE scratch s SET code = n + 2000000 WHERE code < 0;
       WHEN 4 THEN INSERT INTO loose SELECT pick % 5, 'same' FROM generate_series(1, 3);
       WHEN 5 THEN DELETE FROM loose WHERE ctid = (SELECT min(ctid) FROM loose);
       WHEN 6 THEN UPDATE loose SET value = n::text WHERE ctid = (SELECT max(ctid) FROM loose);
       WHEN 7 THEN TRUNCATE emptied; INSERT INTO emptied SELECT i FROM generate_series(1, pick) i;
       WHEN 8 THEN
         BEGIN INSERT INTO event (value) VALUES ('never'); RAISE 'taken back';
         EXCEPTION WHEN raise_exception THEN INSERT INTO event (value) VALUES (n::text); END;
       WHEN 9 THEN
         -- Too big to be held: it comes in pieces.
         INSERT INTO bulk SELECT n * 100 + i, repeat(chr(65 + i), 100000) FROM generate_series(1, 60) i;
         DELETE FROM bulk WHERE id % 100 <> 1;
       ELSE UPDATE event SET value = 'again' WHERE id = (SELECT max(id) FROM event);
     END CASE;
     -- Last, while the head came first: between the two lies all that a transaction is.
     INSERT INTO ledger VALUES (n, who, own);
     RETURN own;
   END $$`,
];

/** How far the clients may be ahead of what is visible. All of it must become visible between two kills; a few lots are enough to die amid. */
const aheadMax = 150;

/** How many transactions are known to be committed at the primary, and were last seen at the secondary. */
export interface Pace {
  committed: number;
  visible: number;
}

/** One client at work until `signal` aborts, through every crash of the primary. Its row was made before. Returns the last number whose
 *  commit it was told of. */
export async function work(
  server: PostgresServer,
  { id, chance, pace }: { readonly id: number; readonly chance: () => number; readonly pace: Pace },
  signal: AbortSignal,
): Promise<number> {
  const below = (limit: number): number => Math.floor(chance() * limit);
  let told = 0;
  while (!signal.aborted) {
    try {
      // Not cut by the signal: a transaction on its way would commit after we left, unseen.
      await using connection = await connect({ url: server.url(), side: 'SOURCE', application: 'client' }, never);
      while (!signal.aborted) {
        const kind = below(50) === 0 ? 9 : [0, 1, 2, 3, 4, 5, 6, 7, 8, 10][below(10)];
        const [a, b] = [1 + below(accounts), 1 + below(accounts)];
        const [row] = await connection.rows('SELECT public.step($1, $2, $3, $4, $5, $6)', [
          id,
          a,
          b,
          1 + below(9),
          kind,
          below(40),
        ]);
        told = Number(row?.[0]);
        pace.committed += 1;
        do await sleep(5);
        while (pace.committed - pace.visible > aheadMax && !signal.aborted);
      }
    } catch (error) {
      if (!isCode(error, 'SOURCE_UNREACHABLE', 'SOURCE_FAILED')) throw error;
      await sleep(20);
    }
  }
  return told;
}
