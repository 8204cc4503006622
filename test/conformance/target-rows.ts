import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { coalesce } from '../../src/apply/coalesce.ts';
import { isCode } from '../../src/error.ts';
import { histories, tables as historyTables } from '../apply/history.ts';
import {
  block,
  type Content,
  content,
  insert,
  items,
  keyless,
  move,
  pairs,
  remove,
  truncate,
  unique,
  update,
  write,
} from './rows.ts';
import { checkpointAt, type Open, prepared, rejects } from './target-under-test.ts';

export function writing(open: Open): void {
  test('changes are written in their order', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    await on.write(1, [
      insert(items, '1', 'a'),
      update(items, '1', 'b'),
      remove(items, '1'),
      insert(items, '1', 'c'),
      insert(items, '2', 'd'),
    ]);
    assert.deepEqual(await on.there.content(items), content(['1', 'c'], ['2', 'd']));
    assert.equal(await on.there.drifted(), 0);
  });

  test('pieces in several writes are visible only when all of them are', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    await using transaction = await on.target.begin(signal);
    await write(transaction, [insert(items, '1', 'a'), insert(items, '2', 'b')], 'net');
    await write(transaction, [update(items, '1', 'c'), remove(items, '2')], 'net');
    await write(transaction, [insert(items, '3', 'd')], 'kept');
    await write(transaction, [update(items, '3', 'e'), insert(items, '4', 'f')], 'net');
    assert.deepEqual(await on.there.content(items), []);
    await transaction.commit(checkpointAt(1));
    assert.deepEqual(await on.there.content(items), content(['1', 'c'], ['3', 'e'], ['4', 'f']));
  });

  test('an unchanged cell never overwrites what is there', async ({ signal }) => {
    await using on = await prepared(open, [[pairs]], signal);
    const rows = ['1', '2', '3'].map((key) => insert(pairs, key, `left ${key}`, `right ${key}`));
    await on.write(1, rows);
    const changes = [
      update(pairs, '1', 'new', 'unchanged'),
      update(pairs, '2', 'unchanged', 'new'),
      update(pairs, '3', 'unchanged', 'unchanged'),
    ];
    for (const [index, order] of (['kept', 'net'] as const).entries()) {
      await on.write(2 + index, changes, order);
      const expected = content(['1', 'new', 'right 1'], ['2', 'left 2', 'new'], ['3', 'left 3', 'right 3']);
      assert.deepEqual(await on.there.content(pairs), expected);
    }
    assert.equal(await on.there.drifted(), 0);
  });

  test('a row moves to another key, and takes along what was not sent', async ({ signal }) => {
    await using on = await prepared(open, [[pairs]], signal);
    await on.write(1, [insert(pairs, '1', 'left', 'right'), insert(pairs, '2', 'l', 'r')]);
    await on.write(2, [move(pairs, '1', '3', 'moved', 'unchanged'), move(pairs, '2', '1', 'l', 'r')]);
    assert.deepEqual(await on.there.content(pairs), content(['3', 'moved', 'right'], ['1', 'l', 'r']));
  });

  test('rows that are cleared go, and those that come behind take their place; until then a stranger sees the former ones', async ({
    signal,
  }) => {
    await using on = await prepared(open, [[items]], signal);
    await on.write(1, [insert(items, '1', 'a'), insert(items, '2', 'b')]);
    await using transaction = await on.target.begin(signal);
    const at = { origin: '7', order: 1n, token: '0/1' };
    await write(transaction, [{ kind: 'clear', table: items, at, after: undefined, upTo: undefined }], 'kept');
    await write(transaction, [block(items, ['2', 'c'], ['3', 'd'])], 'kept');
    assert.deepEqual(await on.there.content(items), content(['1', 'a'], ['2', 'b']));
    await transaction.commit(checkpointAt(2));
    assert.deepEqual(await on.there.content(items), content(['2', 'c'], ['3', 'd']));
    assert.equal(await on.there.drifted(), 0);
  });

  test('a truncate empties the tables that it names, and only those', async ({ signal }) => {
    const second = { ...items, name: 'second items' };
    await using on = await prepared(open, [[items], [second], [pairs]], signal);
    await on.write(1, [insert(items, '1', 'a'), insert(second, '1', 'a'), insert(pairs, '1', 'a', 'b')]);
    await on.write(2, [insert(items, '2', 'b'), truncate(items, second), insert(items, '3', 'c')]);
    assert.deepEqual(await on.there.content(items), content(['3', 'c']));
    assert.deepEqual(await on.there.content(second), []);
    assert.deepEqual(await on.there.content(pairs), content(['1', 'a', 'b']));
  });

  test('every text comes through as it is', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    const awkward = [
      '',
      null,
      '\\N',
      '\\.',
      '\\',
      '\t',
      'a\nb',
      'a\rb',
      "it's",
      '"',
      '🎞\u{1F3AC}',
      'NULL',
      '\u0001',
      'ä',
    ];
    const all: Content = awkward.flatMap((value, index) => [
      [`kept ${index}`, value],
      [`net ${index}`, value],
    ]);
    const rows = (kind: string) => all.filter(([key]) => key?.startsWith(kind));
    await on.write(
      1,
      rows('kept').map(([key, value]) => insert(items, key ?? '', value ?? null)),
    );
    await on.write(
      2,
      rows('net').map(([key]) => insert(items, key ?? '', 'x')),
      'net',
    );
    await on.write(
      3,
      rows('net').map(([key, value]) => update(items, key ?? '', value ?? null)),
      'net',
    );
    assert.deepEqual(await on.there.content(items), content(...all));
  });

  test('of rows that are equal in everything, one change touches one', async ({ signal }) => {
    await using on = await prepared(open, [[keyless]], signal);
    await on.write(
      1,
      Array.from({ length: 5 }, () => insert(keyless, 'a', null)),
      'net',
    );
    const [a, b] = [insert(keyless, 'a', null).after, insert(keyless, 'b', null).after];
    await on.write(2, [
      { kind: 'delete', table: keyless, before: a },
      { kind: 'update', table: keyless, before: a, after: b },
      { kind: 'update', table: keyless, before: a, after: b },
      { kind: 'delete', table: keyless, before: b },
    ]);
    assert.deepEqual(await on.there.content(keyless), content(['a', null], ['a', null], ['b', null]));
    assert.equal(await on.there.drifted(), 0);
  });

  test('markers and messages leave no trace in the rows', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    const message = { kind: 'message', prefix: 'p', content: Buffer.from('c') } as const;
    const { position } = checkpointAt(1);
    assert.ok(position);
    await on.write(1, [
      message,
      insert(items, '1', 'a'),
      { kind: 'commit', transaction: 1n, position, committedAtUs: 0n },
    ]);
    assert.deepEqual(await on.there.content(items), content(['1', 'a']));
  });
}

export function folding(open: Open): void {
  test('folded or in its own order, any history leaves the same rows', async ({ signal }) => {
    const tables = historyTables.filter(({ name }, index) => historyTables.findIndex((t) => t.name === name) === index);
    await using on = await prepared(
      open,
      tables.map((table) => [table]),
      signal,
    );
    let at = 0;
    await fc.assert(
      fc.asyncProperty(histories, fc.boolean(), async ({ before, changes }, fold) => {
        const rows = tables.flatMap((table) => before.of(table).map((row) => insert(table, ...row)));
        const after = before.copy();
        for (const change of changes) after.write(change);
        await using transaction = await on.target.begin(signal);
        await write(transaction, [truncate(...tables), ...rows], 'kept');
        if (fold)
          for (const step of coalesce([{ changes }]))
            await (step.order === 'net' ? transaction.writeNet(step.net) : transaction.write(step.changes));
        else await write(transaction, changes, 'kept');
        await transaction.commit(checkpointAt((at += 1)));
        for (const table of tables) assert.deepEqual(await on.there.content(table), content(...after.of(table)));
      }),
      { numRuns: 60 },
    );
    assert.equal(await on.there.drifted(), 0);
  });

  test('net changes of many tables at once', async ({ signal }) => {
    const tables = Array.from({ length: 100 }, (_, index) => ({ ...items, name: `items ${index}` }));
    await using on = await prepared(
      open,
      tables.map((table) => [table]),
      signal,
    );
    await on.write(
      1,
      tables.flatMap((table) => [insert(table, '1', 'a'), insert(table, '2', 'b')]),
      'net',
    );
    await on.write(
      2,
      tables.flatMap((table) => [update(table, '1', 'c'), remove(table, '2')]),
      'net',
    );
    await on.write(
      3,
      tables.flatMap((table) => [update(table, '1', 'd'), insert(table, '3', 'e')]),
      'net',
    );
    for (const table of tables) assert.deepEqual(await on.there.content(table), content(['1', 'd'], ['3', 'e']));
  });

  test('where a unique value moves from row to row, net is undone or right, and the originals always work', async ({
    signal,
  }) => {
    await using on = await prepared(open, [[unique, ['code']], [items]], signal);
    const before = [insert(unique, '1', 'a'), insert(unique, '2', 'b'), insert(unique, '3', 'c')];
    await on.write(1, before);
    const net = [insert(items, '1', 'x'), update(unique, '1', 'b'), update(unique, '2', 'a'), remove(unique, '3')];
    const originals = [
      insert(items, '1', 'x'),
      update(unique, '1', 'parked'),
      update(unique, '2', 'a'),
      update(unique, '1', 'b'),
      remove(unique, '3'),
    ];
    await using transaction = await on.target.begin(signal);
    await write(transaction, [insert(items, '2', 'y')], 'net');
    await write(transaction, net, 'net').catch(async (error: unknown) => {
      assert.ok(isCode(error, 'TARGET_CONFLICT'), String(error));
      await write(transaction, originals, 'kept');
    });
    await write(transaction, [update(items, '2', 'z'), update(items, '1', 'w')], 'net');
    await transaction.commit(checkpointAt(2));
    assert.deepEqual(await on.there.content(unique), content(['1', 'b'], ['2', 'a']));
    assert.deepEqual(await on.there.content(items), content(['1', 'w'], ['2', 'z']));
    await on.write(3, [update(unique, '1', 'c'), insert(items, '3', 'v')]);
    assert.deepEqual(await on.there.content(unique), content(['1', 'c'], ['2', 'a']));
    assert.equal(await on.there.drifted(), 0);
  });

  test('a conflict in one transaction does not disturb the next', async ({ signal }) => {
    await using on = await prepared(open, [[items], [pairs]], signal);
    await on.write(1, [insert(items, '1', 'a'), insert(pairs, '1', 'a', 'b')]);
    for (let at = 2; at < 6; at += 1) {
      await using transaction = await on.target.begin(signal);
      await rejects(
        write(transaction, [update(items, '1', 'x'), update(pairs, '9', 'x', 'y')], 'net'),
        'TARGET_CONFLICT',
      );
      await write(transaction, [update(items, '1', `b${at}`)], 'net');
      await transaction.commit(checkpointAt(at));
      assert.deepEqual(await on.there.content(items), content(['1', `b${at}`]));
    }
    await on.write(9, [update(items, '1', 'end'), update(pairs, '1', 'c', 'd')], 'net');
    assert.deepEqual(await on.there.content(items), content(['1', 'end']));
    assert.deepEqual(await on.there.content(pairs), content(['1', 'c', 'd']));
  });
}
