import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { digestsIn, schemaIn } from '../end-to-end/sides.ts';
import { openLane } from '../fixtures/lane.ts';
import { generations, open, run, serverOf } from '../servers/postgres.ts';
import { ddlCases } from './cases.ts';

for (const generation of generations)
  for (const together of [false, true])
    suite(`${together ? 'Within transactions' : 'By themselves'}, on ${generation}, schema changes are replayed`, () => {
      test('with their rows, one after the other', async (t) => {
        await using server = await serverOf(generation, t);
        if (server === undefined) return;
        await run(server.url(), 'CREATE DATABASE a', 'CREATE DATABASE b', 'CREATE ROLE reader');
        const sides = { primary: server.url('a'), secondary: server.url('b'), name: 'ddl' };
        await run(sides.primary, 'CREATE TABLE public.ledger (n serial PRIMARY KEY, note text)');
        await using lane = openLane({ sides });
        await lane.caughtUp();
        await using client = await open(sides.primary);
        await using primary = await open(sides.primary);
        await using secondary = await open(sides.secondary);
        await client.rows('SET search_path = "$user", public');
        for (const { name, texts, alone } of ddlCases)
          await t.test(name, async () => {
            const isTogether = together && alone === undefined;
            const around = (text: string) => `INSERT INTO public.ledger (note) VALUES ('${text}')`;
            if (isTogether) for (const text of ['BEGIN', around('before')]) await client.rows(text);
            // SET LOCAL needs a transaction: a text of several statements is one by itself.
            for (const text of texts) await client.rows(text);
            if (isTogether) for (const text of [around('after'), 'COMMIT']) await client.rows(text);
            await lane.caughtUp();
            assert.deepEqual(await digestsIn(secondary), await digestsIn(primary));
            assert.deepEqual(await schemaIn(secondary, 'statements'), await schemaIn(primary, 'statements'));
          });
      });
    });
