import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change } from '../../src/change/change.ts';
import { block, content, insert, items, keyless, pairs, remove, snapshotOf, unique, update, write } from './rows.ts';
import { checkpointAt, type Open, prepared, rejects } from './target-under-test.ts';

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
