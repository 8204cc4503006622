import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPostgresTarget } from '../../../src/target/postgres/open.ts';
import { type Database, sharedServer } from '../../servers/shared.ts';

const server = sharedServer();

/** Writes a schema of one statement, and takes it back. */
async function create({ url }: Database, sql: string, signal: AbortSignal): Promise<void> {
  await using target = await openPostgresTarget({ url, name: 'lane' }, signal);
  await using transaction = await target.begin(signal);
  await transaction.write([{ kind: 'schema', statements: [{ object: 'it', sql }] }]);
}

test('what is there already is left as it is, a primary key too', async ({ signal }) => {
  await using database = await server.database();
  await database.connection.rows('CREATE TABLE public.plain (id int PRIMARY KEY)');
  await database.connection.rows('CREATE TABLE public."a "" b.c" (id int CONSTRAINT theirs PRIMARY KEY)');
  for (const sql of [
    'CREATE TABLE public.plain (id int)',
    'CREATE SCHEMA public',
    'ALTER TABLE ONLY public.plain ADD CONSTRAINT plain_pkey PRIMARY KEY (id)',
    'ALTER TABLE ONLY public."a "" b.c" ADD CONSTRAINT "our key" PRIMARY KEY (id)',
  ])
    await create(database, sql, signal);
});

test('a definition that makes no sense is no object that is there already', async ({ signal }) => {
  await using database = await server.database();
  await database.connection.rows('CREATE VIEW public.seen AS SELECT 1 AS a, 2 AS b');
  for (const sql of [
    'CREATE TABLE public.twice (a int PRIMARY KEY, b int PRIMARY KEY)',
    'CREATE OR REPLACE VIEW public.seen AS SELECT 1 AS a',
  ])
    await assert.rejects(create(database, sql, signal), { code: 'TARGET_SCHEMA_FAILED' }, sql);
});
