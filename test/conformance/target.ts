import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Table } from '../../src/change/table.ts';
import { content, insert, items, update, write } from './rows.ts';
import { copying } from './target-copy.ts';
import { drifting } from './target-drift.ts';
import { folding, writing } from './target-rows.ts';
import { checkpointAt, type Open, openWhenFree, prepared, rejects } from './target-under-test.ts';

/** Registers what every target must do, over the one that `open` makes. */
export function targetConformance(name: string, open: Open): void {
  suite(`the target ${name}`, { timeout: 120_000 }, () => {
    committing(open);
    holding(open);
    writing(open);
    folding(open);
    drifting(open);
    copying(open);
  });
}

function committing(open: Open): void {
  test('rows and checkpoint commit together, and are there for who opens next', async ({ signal }) => {
    await using there = await open();
    await there.create(items);
    {
      await using target = await there.open(signal);
      assert.equal(await target.checkpoint(signal), undefined);
      await using transaction = await target.begin(signal);
      await transaction.write([insert(items, '1', 'a')]);
      assert.deepEqual(await there.content(items), []);
      await transaction.commit(checkpointAt(4));
      assert.deepEqual(await there.content(items), content(['1', 'a']));
      assert.deepEqual(await target.checkpoint(signal), checkpointAt(4));
    }
    await using target = await openWhenFree(there, signal);
    assert.deepEqual(await target.checkpoint(signal), checkpointAt(4));
  });

  test('a checkpoint without a position stays without one', async ({ signal }) => {
    await using on = await prepared(open, [], signal);
    await using transaction = await on.target.begin(signal);
    await transaction.commit(checkpointAt(0, false));
    assert.deepEqual(await on.target.checkpoint(signal), checkpointAt(0, false));
  });

  test('what is left uncommitted leaves nothing, and the next transaction works', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    await on.write(1, [insert(items, '1', 'a')]);
    for (const order of ['kept', 'net'] as const) {
      await using transaction = await on.target.begin(signal);
      await write(transaction, [update(items, '1', 'b'), insert(items, '2', 'x')], order);
    }
    await using _untouched = await on.target.begin(signal);
    assert.deepEqual(await on.there.content(items), content(['1', 'a']));
    assert.deepEqual(await on.target.checkpoint(signal), checkpointAt(1));
    await on.write(2, [update(items, '1', 'c')], 'net');
    assert.deepEqual(await on.there.content(items), content(['1', 'c']));
  });

  test('what failed leaves nothing, and the next transaction works', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    const absent: Table = { ...items, name: 'absent' };
    for (const order of ['kept', 'net'] as const) {
      await using transaction = await on.target.begin(signal);
      await write(transaction, [insert(items, '1', 'a')], order);
      await rejects(write(transaction, [insert(absent, '1', 'a')], order), 'TARGET_TABLE_DIFFERS');
    }
    await on.write(1, [insert(items, '2', 'b')]);
    assert.deepEqual(await on.there.content(items), content(['2', 'b']));
  });

  test('a checkpoint that moved under us is never replaced, and nothing is committed', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    await on.write(1, [insert(items, '1', 'a')]);
    await on.there.moveCheckpoint(checkpointAt(9));
    await rejects(on.write(2, [insert(items, '2', 'b')]), 'TARGET_STALE');
    assert.deepEqual(await on.there.content(items), content(['1', 'a']));
    assert.deepEqual(await on.target.checkpoint(signal), checkpointAt(9));
  });

  test('a checkpoint that came while there was none is never replaced', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    await on.there.moveCheckpoint(checkpointAt(9));
    await rejects(on.write(2, [insert(items, '2', 'b')]), 'TARGET_STALE');
    assert.deepEqual(await on.there.content(items), []);
  });

  test('a transaction is over once it is committed', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    await using transaction = await on.target.begin(signal);
    await transaction.commit(checkpointAt(1));
    await rejects(transaction.write([insert(items, '1', 'a')]), 'ASSERTION');
    await rejects(transaction.commit(checkpointAt(2)), 'ASSERTION');
    assert.deepEqual(await on.there.content(items), []);
  });

  test('flush may be called at any time between transactions', async ({ signal }) => {
    await using on = await prepared(open, [[items]], signal);
    await on.target.flush();
    await on.write(1, [insert(items, '1', 'a')]);
    await on.target.flush();
    await on.target.flush();
    await on.write(2, [insert(items, '2', 'b')]);
    assert.deepEqual(await on.there.content(items), content(['1', 'a'], ['2', 'b']));
  });
}

function holding(open: Open): void {
  test('has one writer at a time', async ({ signal }) => {
    await using there = await open();
    {
      await using _target = await there.open(signal);
      await rejects((async () => there.open(signal))(), 'TARGET_BUSY');
    }
    await using target = await openWhenFree(there, signal);
    assert.equal(await target.checkpoint(signal), undefined);
  });

  test('an abort in the middle of a transaction ends it at once, and it leaves nothing', async ({ signal }) => {
    await using there = await open();
    await there.create(items);
    const stop = new AbortController();
    {
      await using target = await there.open(stop.signal);
      await using transaction = await target.begin(stop.signal);
      await transaction.write([insert(items, '1', 'a')]);
      stop.abort();
      await assert.rejects(transaction.write([insert(items, '2', 'b')]));
      await assert.rejects(transaction.commit(checkpointAt(1)));
    }
    await using _target = await openWhenFree(there, signal);
    assert.deepEqual(await there.content(items), []);
  });

  test('an abort before anything begins is respected', async ({ signal }) => {
    await using on = await prepared(open, [], signal);
    await assert.rejects(on.target.begin(AbortSignal.abort()));
  });
}
