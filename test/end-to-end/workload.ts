import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '../../src/engine/postgres/connect.ts';
import { sqlState } from '../../src/engine/postgres/failure.ts';
import { open } from '../servers/postgres.ts';

/* Writes of an application that uses what PostgreSQL offers, on top of the sample schema. */

export const workloadSchema = [
  'SET search_path = shop, public',
  `CREATE TABLE shop.everything (
     id bigint PRIMARY KEY, words text, document jsonb, numbers int[], state shop.order_state, during tstzrange, bytes bytea,
     amount numeric, seen timestamptz, local timestamp, day date, big text, ratio float8, small real, span interval, mail citext,
     pairs shop.hstore, home shop.address, bands shop."Prices", address inet, key uuid, bits varbit, spot point, markup xml, ok boolean,
     doubled numeric GENERATED ALWAYS AS (amount + amount) STORED)`,
  'ALTER TABLE shop.everything ALTER COLUMN big SET STORAGE EXTERNAL',
  'CREATE TABLE shop.without_key (a int, words text, amount numeric, document json)',
  'CREATE TABLE shop.emptied (id int PRIMARY KEY, words text)',
  'CREATE TABLE shop.emptied_too (id int PRIMARY KEY REFERENCES shop.emptied)',
  'CREATE TABLE shop.unique_value (id int PRIMARY KEY, value int UNIQUE DEFERRABLE INITIALLY DEFERRED, other text)',
  'INSERT INTO shop.unique_value SELECT n, n FROM generate_series(1, 40) n',
  `INSERT INTO shop.everything (id, words, big) SELECT n, 'from before', repeat(n || ' ', 2000) FROM generate_series(1, 60) n`,
];

const texts = [
  '',
  ' ',
  'plain',
  '\\.',
  '\\N',
  'a\tb\nc\rd\\e',
  '\\.\n\\.',
  'it\'s "quoted"',
  '📦 emoji 👩‍👩‍👧',
  'ünï',
  '\u0001\u007f',
  'null',
  'NULL',
  '{}',
  '()',
  'ends with \\',
  'Ω'.repeat(5000),
  'x'.repeat(9000),
];
const documents = [
  null,
  '{}',
  '[1, null, "\\\\ \\n \\u00e9 📦"]',
  '{"a": {"b": [true, 1.50, 1e400]}}',
  '"\\t"',
  `{"long": "${'y'.repeat(9000)}"}`,
];
const arrays = [null, '{}', '{NULL,1,-2}', '[3:4]={7,8}', '{1}'];
const states = [null, 'new', "it's paid", 'sent 📦', 'cancelled'];
const ranges = [null, 'empty', '[2026-01-01,2026-02-01)', '(,2026-01-01]', '[infinity,infinity]', '(,)'];
const bytes = [null, '\\x', '\\x00ff5c0a', `\\x${'5c2e0a'.repeat(3000)}`];
const amounts = [
  null,
  'NaN',
  '0.00',
  '-1',
  '9'.repeat(100),
  `0.${'1234567890'.repeat(10)}`,
  '1e-30',
  'Infinity',
  '-Infinity',
];
const moments = [
  null,
  'infinity',
  '-infinity',
  '4713-01-01 00:00:00 BC',
  '0044-03-15 12:00:00.000001 BC',
  '294276-12-31 23:59:59.999999',
  '2026-02-28 23:59:59.5',
];
const days = [null, 'infinity', '-infinity', '4713-01-01 BC', '5874897-12-31'];
const ratios = [null, 'NaN', 'Infinity', '-0', '0.1', '1e-300', '123456789.123456789'];
const spans = [null, '1 year -2 mons +3 days -04:05:06.789', '0', '-178000000 years'];
const pairs = [null, '', 'k=>NULL', '"a b"=>"\\"q\\"", "\\\\"=>""'];
const homes = [null, '("A ""1"" \\\\ St",,"(1,2)")', '(,,)', '("","",)'];
const bands = [null, '{}', '{[1,2),[3,4)}', '{(,)}'];
const others = {
  address: [null, '::1', '10.0.0.0/8'],
  bits: [null, '', '010101'],
  spot: [null, '(1e-300,-0)'],
  markup: [null, '<a>&lt;</a>'],
};
const uuids = [null, '00000000-0000-0000-0000-000000000000'];

/** A generator of numbers in [0, 1) that gives the same ones for the same seed. https://prng.di.unimi.it/ (splitmix, 32 bits) */
export function chanceOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

type Values = readonly (string | number | null)[];
type Statement = readonly [sql: string, values?: Values];

/** One client's transactions; no two clients write the same rows of `everything`. */
class Client {
  readonly #chance: () => number;
  readonly #first: number;
  #last: number;

  constructor(number: number) {
    this.#chance = chanceOf(number);
    this.#first = number * 1_000_000;
    this.#last = this.#first;
  }

  transaction(): readonly Statement[] {
    const kinds = [
      () => this.#insert(),
      () => this.#update(),
      () => this.#remove(),
      () => this.#moveKey(),
      () => this.#savepoints(),
      () => this.#withoutKey(),
      () => this.#swap(),
      () => this.#order(),
      () => this.#partitions(),
      () => this.#empty(),
      () => [...this.#insert(), ...this.#update(), ...this.#withoutKey(), ...this.#remove(), ...this.#order()],
      () => [...this.#insert(), ...this.#partitions(), ...this.#moveKey(), ...this.#swap()],
    ];
    return kinds[this.#below(kinds.length)]?.() ?? [];
  }

  #below = (limit: number): number => Math.floor(this.#chance() * limit);
  #one = <T>(of: readonly T[]): T => of[this.#below(of.length)] as T;
  /** A row that may be there: of our own, or of those from before. */
  #known = (): number =>
    this.#chance() < 0.3 ? 1 + this.#below(60) : this.#first + 1 + this.#below(Math.max(1, this.#last - this.#first));

  #row(): Values {
    const { address, bits, spot, markup } = others;
    return [
      this.#one(texts),
      this.#one(documents),
      this.#one(arrays),
      this.#one(states),
      this.#one(ranges),
      this.#one(bytes),
      this.#one(amounts),
      this.#one(moments),
      this.#one(moments),
      this.#one(days),
      this.#one(texts),
      this.#one(ratios),
      this.#one(ratios.slice(0, 5)),
      this.#one(spans),
      this.#one(texts.slice(0, 16)),
      this.#one(pairs),
      this.#one(homes),
      this.#one(bands),
      this.#one(address),
      this.#one(uuids),
      this.#one(bits),
      this.#one(spot),
      this.#one(markup),
      this.#one([null, 'true', 'false']),
    ];
  }

  #insert(): Statement[] {
    this.#last += 1;
    const values = [this.#last, ...this.#row()];
    return [[`INSERT INTO shop.everything VALUES (${values.map((_, index) => `$${index + 1}`).join(', ')})`, values]];
  }

  /** Most leave the big values as they are: the stream does not carry them then. */
  #update(): Statement[] {
    const few = ['words', 'document', 'amount', 'state', 'big'];
    const column = this.#one(few);
    const value = { words: texts, document: documents, amount: amounts, state: states, big: texts }[column] ?? texts;
    return [
      [
        `UPDATE shop.everything SET ${column} = $2, ok = NOT ok WHERE id = $1`,
        [this.#known(), this.#one<string | null>(value)],
      ],
    ];
  }

  #remove = (): Statement[] => [['DELETE FROM shop.everything WHERE id = $1', [this.#known()]]];

  #moveKey(): Statement[] {
    this.#last += 1;
    return [['UPDATE shop.everything SET id = $2 WHERE id = $1', [this.#known(), this.#last]]];
  }

  #savepoints(): Statement[] {
    return [
      ['SAVEPOINT a'],
      ...this.#insert(),
      ['SAVEPOINT b'],
      ...this.#remove(),
      ...this.#withoutKey(),
      ['ROLLBACK TO b'],
      ...this.#update(),
      ['RELEASE a'],
      ['SAVEPOINT c'],
      ...this.#insert(),
      ['ROLLBACK TO c'],
    ];
  }

  #withoutKey(): Statement[] {
    const values = [this.#below(5), this.#one([null, '', 'same']), this.#one([null, 'NaN', '1.0', '1.00'])] as const;
    return [
      ['INSERT INTO shop.without_key VALUES ($1, $2, $3)', values],
      [
        'UPDATE shop.without_key SET words = $1 WHERE ctid = (SELECT min(ctid) FROM shop.without_key WHERE a = $2)',
        [this.#one(texts), this.#below(5)],
      ],
      [
        'DELETE FROM shop.without_key WHERE ctid = (SELECT max(ctid) FROM shop.without_key WHERE a = $1)',
        [this.#below(5)],
      ],
    ];
  }

  #swap(): Statement[] {
    const [a, b] = [1 + this.#below(40), 1 + this.#below(40)];
    return [
      [
        `UPDATE shop.unique_value SET value = (SELECT sum(u.value) FROM shop.unique_value u WHERE u.id IN ($1, $2)) - value,
          other = $3 WHERE id IN ($1, $2) AND $1::int <> $2::int`,
        [a, b, this.#one(texts)],
      ],
    ];
  }

  #order(): Statement[] {
    return [
      [
        `INSERT INTO shop."order" (customer_id, state) SELECT min(id), $1 FROM shop.customer`,
        [this.#one(states.slice(1))],
      ],
      [
        `INSERT INTO "Büro & Lager"."Order Lines 📦" ("order", "select", "Quantity") SELECT max(id), $1, $2 FROM shop."order" ON CONFLICT DO NOTHING`,
        [this.#below(5), this.#below(1000)],
      ],
      [
        `UPDATE shop."order" SET state = $1 WHERE id = (SELECT min(id) + $2 FROM shop."order")`,
        [this.#one(states.slice(1)), this.#below(5)],
      ],
      [
        `UPDATE shop.customer SET tags = tags || $1::text, moves = ARRAY[home] WHERE name = 'Ada'`,
        [this.#one(texts.slice(0, 10))],
      ],
      [
        `UPDATE shop.product SET picture = $1, price = price + 1 WHERE id = $2`,
        [this.#one(bytes), 1 + this.#below(20)],
      ],
      [`DELETE FROM shop."order" WHERE id = (SELECT max(id) FROM shop."order" WHERE id > 100)`],
    ];
  }

  /** A row that moves from one partition to another is a delete and an insert. */
  #partitions(): Statement[] {
    const at = this.#one(['2025-03-03', '2026-03-03', '2027-03-03']);
    return [
      [
        'INSERT INTO shop.event VALUES ($1, $2, $3, 1, $4)',
        [this.#first + this.#below(1_000_000), at, this.#one(['eu', "it's", 'us', null]), this.#one(texts)],
      ],
      [
        `UPDATE shop.event SET region = $1, at = $2 WHERE id = (SELECT min(id) FROM shop.event WHERE at <> $2)`,
        [this.#one(['eu', 'us']), at],
      ],
      [
        'INSERT INTO shop.measurement VALUES ($1, $2, $3) ON CONFLICT (device, at) DO UPDATE SET value = excluded.value',
        [this.#below(4), '2026-05-05', this.#one(ratios)],
      ],
    ];
  }

  #empty(): Statement[] {
    const id = this.#below(1000);
    return [
      ['TRUNCATE shop.emptied CASCADE'],
      [
        'INSERT INTO shop.emptied SELECT n, $1 FROM generate_series($2::int, $2::int + 60) n',
        [this.#one(texts.slice(0, 8)), id],
      ],
      ['INSERT INTO shop.emptied_too VALUES ($1)', [id]],
    ];
  }
}

export interface Workload extends AsyncDisposable {
  /** Resolves when so many more were committed; rejects with what a client failed of. */
  more(count: number): Promise<void>;
  /** Ends the transactions that are under way, and no others come. Rejects with what a client failed of. */
  stop(): Promise<void>;
}

/** Clients that write one transaction after the other until disposed. */
export function startWorkload(url: string, { clients = 2, firstClient = 1 } = {}): Workload {
  const stop = new AbortController();
  const progress = { committed: 0 };
  const work = async (number: number): Promise<void> => {
    await using connection = await open(url);
    const client = new Client(number);
    while (!stop.signal.aborted) {
      await commit(connection, client.transaction());
      progress.committed += 1;
    }
  };
  const working = Promise.all(Array.from({ length: clients }, (_, index) => work(firstClient + index)));
  working.catch(() => stop.abort());
  return {
    async more(count) {
      const goal = progress.committed + count;
      while (progress.committed < goal && !stop.signal.aborted) await sleep(10);
      if (stop.signal.aborted) await working;
    },
    async stop() {
      stop.abort();
      await working;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await working.catch(() => undefined);
    },
  };
}

/** Where clients got in each other's way PostgreSQL ends one of them; an application goes on, too. Such are deadlocks, rows that moved
 *  meanwhile, and values that somebody else was quicker to take. */
async function commit(connection: Connection, statements: readonly Statement[]): Promise<void> {
  await connection.rows('BEGIN');
  try {
    for (const [sql, values] of statements) await connection.rows(sql, values);
    await connection.rows('COMMIT');
  } catch (error) {
    await connection.rows('ROLLBACK');
    if (!/^(40...|23505|23503)$/.test(sqlState(error) ?? '')) throw error;
  }
}
