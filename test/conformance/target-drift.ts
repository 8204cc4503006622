import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Table } from '../../src/change/table.ts';
import { content, insert, items, keyless, pairs, remove, unique, update, write } from './rows.ts';
import { checkpointAt, type Open, prepared, rejects } from './target-under-test.ts';

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
