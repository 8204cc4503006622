import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unreachable } from '../../src/error.ts';
import { assertEqual, schemaOf } from '../end-to-end/sides.ts';
import { chanceOf } from '../end-to-end/workload.ts';
import { openLane } from '../fixtures/lane.ts';
import { openServer } from '../servers/clusters.ts';
import { open, run } from '../servers/postgres.ts';

const seed = Number(process.env.SEED ?? 11);
const transactions = Number(process.env.TRANSACTIONS ?? 150);

/** What the author of the history believes to be there. */
interface Table {
  name: string;
  readonly columns: { name: string; type: string }[];
}

/** Random statements, each valid where it stands. */
class Author {
  readonly #chance: () => number;
  tables: Table[] = [];
  #named = 0;

  constructor(chance: () => number) {
    this.#chance = chance;
  }

  one<T>(values: readonly T[]): T {
    const value = values[Math.floor(this.#chance() * values.length)];
    assert.ok(value !== undefined);
    return value;
  }

  /** What savepoints give back. */
  remembered(): Table[] {
    return this.tables.map(({ name, columns }) => ({ name, columns: columns.map((column) => ({ ...column })) }));
  }

  statement(): string {
    if (this.tables.length === 0 || this.#chance() < 0.06) return this.#create();
    const table = this.one(this.tables);
    return this.#chance() < 0.6 ? this.#row(table) : this.#alter(table);
  }

  #name(letter: string): string {
    this.#named += 1;
    return this.one([`${letter}${this.#named}`, `"${letter} ${this.#named} Ä"`]);
  }

  #create(): string {
    const table = { name: this.#name('t'), columns: [{ name: this.#name('c'), type: 'int' }] };
    this.tables.push(table);
    const [column] = table.columns;
    const kind = this.one(['key', 'none', 'query', 'block']);
    if (kind === 'query')
      return `CREATE TABLE ${table.name} AS SELECT n AS ${column?.name} FROM generate_series(1, 5) n`;
    const sql = `CREATE TABLE ${table.name} (k serial${kind === 'key' ? ' PRIMARY KEY' : ''}, ${column?.name} int)`;
    return kind === 'block'
      ? `DO $do$ BEGIN ${sql}; INSERT INTO ${table.name} (${column?.name}) VALUES (7); END $do$`
      : sql;
  }

  #row({ name, columns }: Table): string {
    const column = columns.length === 0 ? undefined : this.one(columns);
    if (!column) return `INSERT INTO ${name} DEFAULT VALUES`;
    const value = column.type === 'timestamptz' ? 'now()' : `${Math.floor(this.#chance() * 9)}`;
    const some = `ctid IN (SELECT ctid FROM ${name} ORDER BY ctid LIMIT 2)`;
    return this.one([
      `INSERT INTO ${name} (${column.name}) VALUES (${value}), (${value})`,
      `INSERT INTO ${name} (${column.name}) SELECT ${value} FROM generate_series(1, 30)`,
      `UPDATE ${name} SET ${column.name} = ${value} WHERE ${some}`,
      `DELETE FROM ${name} WHERE ${some}`,
      ...(this.#chance() < 0.1 ? [`TRUNCATE ${name}`] : []),
    ]);
  }

  #alter(table: Table): string {
    const { name, columns } = table;
    const add = (type: string, rest: string): string => {
      const column = { name: this.#name('c'), type };
      columns.push(column);
      return `ALTER TABLE ${name} ADD ${column.name} ${type}${rest}`;
    };
    const kind = this.one([
      'add',
      'constant',
      'moment',
      'drop',
      'rename',
      'retype',
      'index',
      'comment',
      'table',
      'gone',
    ] as const);
    const column = columns.length === 0 ? undefined : this.one(columns);
    if (kind === 'constant') return add('int', ` NOT NULL DEFAULT ${Math.floor(this.#chance() * 9)}`);
    if (kind === 'moment') return add('timestamptz', ' DEFAULT now()');
    if (kind === 'table') {
      const sql = `ALTER TABLE ${name} RENAME TO `;
      table.name = this.#name('t');
      return sql + table.name;
    }
    if (kind === 'gone' && this.#chance() < 0.3) {
      this.tables.splice(this.tables.indexOf(table), 1);
      return `DROP TABLE ${name}`;
    }
    if (kind === 'add' || column === undefined) return add('text', '');
    switch (kind) {
      case 'drop':
        columns.splice(columns.indexOf(column), 1);
        return `ALTER TABLE ${name} DROP ${column.name}`;
      case 'rename': {
        const sql = `ALTER TABLE ${name} RENAME ${column.name} TO `;
        column.name = this.#name('c');
        return sql + column.name;
      }
      case 'retype':
        if (column.type !== 'int') return `COMMENT ON COLUMN ${name}.${column.name} IS 'text'`;
        column.type = 'text';
        return `ALTER TABLE ${name} ALTER ${column.name} DROP DEFAULT, ALTER ${column.name} DROP NOT NULL, ALTER ${column.name} TYPE text USING ('v' || ${column.name})`;
      case 'index':
        return `CREATE INDEX ON ${name} (${column.name})`;
      case 'comment':
      case 'gone':
        return `COMMENT ON TABLE ${name} IS 'about ${this.#named}'`;
      default:
        return unreachable(kind);
    }
  }
}

test(`any history of schema changes and rows leaves both sides alike (SEED=${seed} TRANSACTIONS=${transactions})`, async () => {
  await using server = await openServer();
  await run(server.url(), 'CREATE DATABASE a', 'CREATE DATABASE b');
  const sides = { primary: server.url('a'), secondary: server.url('b'), name: 'history' };
  await using lane = openLane({ sides });
  await lane.caughtUp();
  await using client = await open(sides.primary);
  await client.rows('SET search_path = public');
  const chance = chanceOf(seed);
  const author = new Author(chance);
  for (let n = 1; n <= transactions; n += 1) {
    const before = author.remembered();
    await client.rows('BEGIN');
    for (let left = 1 + Math.floor(chance() * 6); left > 0; left -= 1) {
      const here = author.remembered();
      const isTaken = chance() < 0.2;
      if (chance() < 0.3) await client.rows('SAVEPOINT s');
      else await client.rows('SAVEPOINT s; RELEASE s; SAVEPOINT s');
      // As one text, or each by itself.
      await client.rows(
        [author.statement(), ...(chance() < 0.3 ? [author.statement(), author.statement()] : [])].join(';\n'),
      );
      await client.rows(isTaken ? 'ROLLBACK TO s' : 'RELEASE s');
      if (isTaken) author.tables = here;
    }
    const isKept = chance() < 0.9;
    await client.rows(isKept ? 'COMMIT' : 'ROLLBACK');
    if (!isKept) author.tables = before;
    if (n % 50 > 0 && n < transactions) continue;
    await lane.caughtUp();
    await assertEqual(sides);
    assert.deepEqual(await schemaOf(sides.secondary, 'statements'), await schemaOf(sides.primary, 'statements'));
  }
});
