import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { coalesce } from '../../src/apply/coalesce.ts';
import type { Change } from '../../src/change/change.ts';
import type { Table } from '../../src/change/table.ts';
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
  snapshotOf,
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

export function drifting(open: Open): void {
  test('a row that is missing when it changes is written, and counted', async ({ signal }) => {
    await using on = await prepared(open, [[items], [keyless]], signal);
    await on.write(1, [insert(items, '1', 'a'), insert(items, '2', 'b'), insert(keyless, 'a', 'b')]);
    await on.there.meddle([
      remove(items, '1'),
      { kind: 'delete', table: keyless, before: insert(keyless, 'a', 'b').after },
    ]);
    const whole = { before: insert(keyless, 'a', 'b').after, after: insert(keyless, 'a', 'c').after };
    await on.write(2, [update(items, '1', 'c'), update(items, '2', 'd'), { kind: 'update', table: keyless, ...whole }]);
    assert.deepEqual(await on.there.content(items), content(['1', 'c'], ['2', 'd']));
    assert.deepEqual(await on.there.content(keyless), content(['a', 'c']));
    assert.equal(await on.there.drifted(), 2);
  });

  test('a row that is missing when it goes is counted', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    await on.write(1, [insert(items, '1', 'a'), insert(items, '2', 'b')]);
    await on.there.meddle([remove(items, '1')]);
    await on.write(2, [remove(items, '1'), remove(items, '2')]);
    await on.write(3, [insert(items, '1', 'again')]);
    assert.deepEqual(await on.there.content(items), content(['1', 'again']));
    assert.equal(await on.there.drifted(), 1);
  });

  test('a missing row trips a net write', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    for (const change of [update(items, '1', 'a'), remove(items, '1')])
      await rejects(on.write(1, [change, insert(items, '2', 'b')], 'net'), 'TARGET_CONFLICT');
    assert.deepEqual(await on.there.content(items), []);
  });

  test('a row in the way stops the lane, nothing is overwritten', async ({ signal }) => {
    await using on = await prepared(open, [[items], [unique, ['code']]], signal);
    await on.there.meddle([insert(items, '1', 'theirs'), insert(unique, '1', 'theirs')]);
    for (const order of ['kept', 'net'] as const) {
      await rejects(on.write(1, [insert(items, '1', 'ours')], order), 'TARGET_CONFLICT');
      await rejects(on.write(1, [insert(unique, '2', 'theirs')], order), 'TARGET_CONFLICT');
    }
    assert.deepEqual(await on.there.content(items), content(['1', 'theirs']));
  });

  test('a row in the way is said to be, also where the next write notices it, and no way back of that one hides it', async ({
    signal,
  }) => {
    await using on = await prepared(open, [[items], [pairs]], signal);
    await on.there.meddle([insert(items, '1', 'theirs')]);
    await using transaction = await on.target.begin(signal);
    const swapped = [insert(pairs, '1', 'a', 'b')];
    const writing = async (): Promise<void> => {
      await write(transaction, [insert(items, '1', 'ours')], 'kept');
      await write(transaction, swapped, 'net').catch(() => write(transaction, swapped, 'kept'));
      await transaction.commit(checkpointAt(1));
    };
    await rejects(writing(), 'TARGET_CONFLICT');
    assert.deepEqual(await on.there.content(pairs), []);
  });

  test('a missing row that its change does not hold whole stops the lane', async ({ signal }) => {
    await using on = await prepared(open, [[pairs]], signal);
    await rejects(on.write(1, [update(pairs, '1', 'a', 'unchanged')]), 'TARGET_DRIFT');
    assert.deepEqual(await on.there.content(pairs), []);
  });

  test('a missing row is rebuilt from the row as it was, where that was sent whole', async ({ signal }) => {
    const full: Table = { ...pairs, identity: 'full' };
    await using on = await prepared(open, [[full]], signal);
    const before = insert(full, '1', 'old', 'long').after;
    await on.write(1, [{ ...update(full, '1', 'new', 'unchanged'), before }]);
    assert.deepEqual(await on.there.content(full), content(['1', 'new', 'long']));
    assert.equal(await on.there.drifted(), 1);
  });
}

export function copying(open: Open): void {
  test('a copy that goes on meets its own rows, lacks others, and none of that is drift', async ({ signal }) => {
    await using on = await prepared(open, [[items], [unique, ['code']]], signal);
    const copied = async (at: number, ...changes: Change[]): Promise<void> => {
      await using transaction = await on.target.begin(signal);
      await write(transaction, changes, 'kept');
      await transaction.commit(checkpointAt(at, false));
    };
    await copied(1, snapshotOf(items, unique), block(items, ['1', 'a'], ['2', 'b']), block(unique, ['1', 'x']));
    await copied(2, update(items, '2', 'later'), update(items, '3', 'c'), remove(items, '4'));
    await copied(3, block(items, ['2', 'later'], ['3', 'c'], ['5', null]));
    assert.deepEqual(await on.there.content(items), content(['1', 'a'], ['2', 'later'], ['3', 'c'], ['5', null]));
    // Several blocks in one go, of which one meets rows of its own.
    await copied(4, block(items, ['6', 'f']), block(items, ['5', 'e'], ['7', 'g']), block(unique, ['3', 'z']));
    const all = content(['1', 'a'], ['2', 'later'], ['3', 'c'], ['5', 'e'], ['6', 'f'], ['7', 'g']);
    assert.deepEqual(await on.there.content(items), all);
    assert.deepEqual(await on.there.content(unique), content(['1', 'x'], ['3', 'z']));
    assert.equal(await on.there.drifted(), 0);
    await rejects(copied(5, block(items, ['8', 'h']), block(unique, ['2', 'x'])), 'TARGET_CONFLICT');
    assert.deepEqual(await on.there.content(items), all);
    await on.write(5, [update(items, '9', 'missing')]);
    assert.equal(await on.there.drifted(), 1);
  });

  test('the rows of a snapshot arrive as they are', async ({ signal }) => {
    await using on = await prepared(open, [[pairs], [keyless]], signal);
    await on.write(1, [
      snapshotOf(pairs, keyless),
      block(pairs, ['1', 'a\tb\\', null], ['2', '', 'x\ny\r']),
      block(keyless, ['🎞', null], ['🎞', null]),
    ]);
    assert.deepEqual(await on.there.content(pairs), content(['1', 'a\tb\\', null], ['2', '', 'x\ny\r']));
    assert.deepEqual(await on.there.content(keyless), content(['🎞', null], ['🎞', null]));
  });

  test("a snapshot never empties a stranger's table, also not once a checkpoint is there", async ({ signal }) => {
    await using on = await prepared(open, [[items], [pairs]], signal);
    await on.there.meddle([insert(items, '1', 'theirs')]);
    const snapshot = [snapshotOf(items, pairs), block(items, ['2', 'ours'])];
    await rejects(on.write(1, snapshot), 'TARGET_NOT_EMPTY');
    // The opening of a run is an entry of its own, and moves the checkpoint.
    await on.write(1, []);
    await rejects(on.write(2, snapshot), 'TARGET_NOT_EMPTY');
    assert.deepEqual(await on.there.content(items), content(['1', 'theirs']));
  });

  test('a second snapshot empties what the first one filled, and only that', async ({ signal }) => {
    await using on = await prepared(open, [[items], [pairs], [keyless]], signal);
    await on.write(1, [snapshotOf(items, pairs), block(items, ['1', 'a']), block(pairs, ['1', 'a', 'b'])]);
    await on.write(2, [insert(items, '2', 'b')]);
    await on.write(3, [snapshotOf(items, pairs), block(items, ['3', 'c'])]);
    assert.deepEqual(await on.there.content(items), content(['3', 'c']));
    assert.deepEqual(await on.there.content(pairs), []);
    await on.there.meddle([insert(keyless, 'theirs', null)]);
    await rejects(on.write(4, [snapshotOf(items, keyless)]), 'TARGET_NOT_EMPTY');
    assert.deepEqual(await on.there.content(keyless), content(['theirs', null]));
  });

  test('changes go on from a snapshot', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    await on.write(1, [snapshotOf(items), block(items, ['1', 'a'], ['2', 'b'])]);
    await on.write(2, [update(items, '1', 'c'), remove(items, '2'), insert(items, '3', 'd')], 'net');
    assert.deepEqual(await on.there.content(items), content(['1', 'c'], ['3', 'd']));
  });
}
