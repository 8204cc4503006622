import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { suite, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import type { PostgresServer } from '../../../../src/demo/postgres-server.ts';
import type { Connection } from '../../../../src/engine/postgres/connect.ts';
import { readSchema } from '../../../../src/source/postgres/schema/read.ts';
import { loadSampleRows, loadSampleSchema } from '../../../fixtures/sample-schema.ts';
import { type Copied, copied, everyTable, facts, rerun, statementsOf } from '../../../fixtures/schema-copy.ts';
import { generations, serverOf } from '../../../servers/postgres.ts';

const dumper = '/usr/lib/postgresql/15/bin/pg_dump';

async function sample(original: Connection): Promise<void> {
  await loadSampleSchema(original);
  await loadSampleRows(original);
}

/** The sample as it is, and as the statements make it anew on the same server. */
async function sampleCopied(from: PostgresServer): Promise<Copied> {
  return copied({ from, make: sample });
}

for (const generation of generations)
  suite(`the sample schema on ${generation}`, () => {
    test('a copy reads as the original does, by our reader and by the catalog', async (t) => {
      await using server = await serverOf(generation, t);
      if (server === undefined) return;
      await using pair = await sampleCopied(server);
      assert.deepEqual(await readSchema(pair.copy, everyTable), pair.script);
      assert.deepEqual(await facts(pair.copy), await facts(pair.original));
      assert.deepEqual(pair.script.leftOut, []);
    });

    test('no key, index, trigger or view stands before the rows without need', async (t) => {
      await using server = await serverOf(generation, t);
      if (server === undefined) return;
      await using pair = await sampleCopied(server);
      const slow = pair.script.beforeRows.filter(({ object, sql }) =>
        /^(index|trigger|view|rule|policy)|PRIMARY KEY|UNIQUE|FOREIGN KEY/.test(`${object} ${sql}`),
      );
      // One view stands there: a column's default counts it by way of a function.
      assert.deepEqual(
        slow.map(({ object }) => object),
        [],
      );
      assert.ok(pair.script.beforeRows.some(({ object }) => object === 'columns of view shop.ring'));
    });

    test('the statements can be run again: they do nothing or say that all is there', async (t) => {
      await using server = await serverOf(generation, t);
      if (server === undefined) return;
      await using pair = await sampleCopied(server);
      assert.deepEqual(await rerun(pair.copy, pair.script), []);
      assert.deepEqual(await readSchema(pair.copy, everyTable), pair.script);
    });

    test('the copy takes the rows of the application, with defaults, triggers, checks and views at work', async (t) => {
      await using server = await serverOf(generation, t);
      if (server === undefined) return;
      await using pair = await sampleCopied(server);
      await loadSampleRows(pair.copy);
      const count =
        'SELECT id, tags, "home" FROM shop.customer UNION ALL SELECT n, NULL, NULL FROM shop.z_sales ORDER BY 1';
      const rows = await pair.copy.rows(count);
      // The identity goes on behind the last value of the original: 100 and 105 were handed out there.
      assert.deepEqual(
        rows.map(([id]) => id),
        ['5', '5', '110', '115'],
      );
      const audited = await pair.copy.rows('SELECT count(*), min(id) FROM shop.audit');
      assert.deepEqual(audited, [['33', '34']]);
    });
  });

test('the sample goes from PostgreSQL 15 to 18, all but how the newer server words views and NOT NULL', async (t) => {
  await using older = await serverOf('PostgreSQL 15', t);
  if (older === undefined) return;
  await using newer = await serverOf('PostgreSQL 18', t);
  if (newer === undefined) return;
  await using pair = await copied({ from: older, to: newer, make: sample });
  const readable = (script: Copied['script']): string[] =>
    statementsOf(script)
      .filter(({ object }) => !/view|privileges|policy "writers|^not null/.test(object))
      .map(({ sql }) => sql);
  assert.deepEqual(readable(await readSchema(pair.copy, everyTable)), readable(pair.script));
  assert.deepEqual(await rerun(pair.copy, pair.script), []);
  await loadSampleRows(pair.copy);
});

test('pg_dump sees no difference between the sample and its copy', async (t: TestContext) => {
  if (!existsSync(dumper)) return t.skip(`no ${dumper}`);
  await using server = await serverOf('PostgreSQL 15', t);
  if (server === undefined) return;
  await using pair = await sampleCopied(server);
  const dump = async ({ client }: Connection): Promise<string[]> => {
    const { stdout } = await promisify(execFile)(dumper, ['--schema-only', server.url(client.database)]);
    // Two lines are a random key of the dump; grants come in the order in which they were made.
    return stdout
      .split('\n')
      .filter((line) => !/^\\(un)?restrict /.test(line))
      .toSorted();
  };
  assert.deepEqual(await dump(pair.copy), await dump(pair.original));
});
