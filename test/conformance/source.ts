import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Change, RowChange } from '../../src/change/change.ts';
import { tableName } from '../../src/change/table.ts';
import { content, insert, items, keyless, pairs, remove, row, truncate, update } from './rows.ts';
import {
  copyOf,
  folded,
  leaveSnapshot,
  type Open,
  readFrom,
  rejects,
  type SourceUnderTest,
  settled,
  valuesOf,
} from './source-under-test.ts';

/** Registers what every source must do, over the one that `open` makes. */
export function sourceConformance(name: string, open: Open): void {
  suite(`the source ${name}`, { timeout: 120_000 }, () => {
    copying(open);
    reading(open);
    resuming(open);
    refusing(open);
    leaving(open);
  });
}

const kinds = (changes: readonly Change[]): string[] => changes.map((change) => change.kind);

async function prepared(open: Open): Promise<SourceUnderTest> {
  const there = await open();
  for (const table of [items, pairs, keyless]) await there.create(table);
  return there;
}

/** Clients that write until stopped: each counts up in a row of its own, and all in one row that they share. */
async function load(there: SourceUnderTest, clients: number) {
  await there.commit([insert(items, 'shared', '0')]);
  const stop = new AbortController();
  let committed = 0;
  const client = async (name: string): Promise<void> => {
    await there.commit([insert(items, name, '0')]);
    committed += 1;
    for (let count = 1; !stop.signal.aborted; count += 1) {
      await there.commit([update(items, name, String(count)), insert(pairs, `${name} ${count}`, name, String(count))]);
      committed += 1;
    }
  };
  const running = Promise.all(Array.from({ length: clients }, (_, index) => client(`client ${index}`)));
  return {
    get committed() {
      return committed;
    },
    async reached(count: number): Promise<void> {
      await settled(async () => committed >= count);
    },
    async end(): Promise<number> {
      stop.abort();
      await running;
      return committed;
    },
  };
}

function copying(open: Open): void {
  test('a snapshot is the whole content and schema as of its position', async ({ signal }) => {
    await using there = await prepared(open);
    await there.commit([insert(items, '1', 'a\tb\\\n'), insert(items, '2', null), insert(keyless, '', 'x')]);
    await there.commit([insert(keyless, '', 'x'), update(items, '2', '🎞')]);
    await using source = there.open();
    const copy = await copyOf(source, signal);
    assert.deepEqual(copy.content(items), content(['1', 'a\tb\\\n'], ['2', '🎞']));
    assert.deepEqual(copy.content(keyless), content(['', 'x'], ['', 'x']));
    assert.deepEqual(copy.content(pairs), []);
    const [first] = copy.pieces[1]?.changes ?? [];
    assert.ok(first?.kind === 'snapshot');
    assert.deepEqual(first.tables.map(tableName).toSorted(), [items, keyless, pairs].map(tableName).toSorted());
    const objects = copy.pieces.flatMap(({ changes }) =>
      changes.flatMap((change) => (change.kind === 'schema' ? change.statements : [])),
    );
    for (const { name } of [items, keyless, pairs])
      assert.ok(
        objects.some(({ sql }) => sql.includes(name)),
        `${name} is created`,
      );
  });

  test('reading goes on from a snapshot without a gap, while clients write', async ({ signal }) => {
    await using there = await prepared(open);
    await using source = there.open();
    const clients = await load(there, 3);
    await clients.reached(20);
    const copy = await copyOf(source, signal);
    await clients.reached(clients.committed + 50);
    const committed = await clients.end();
    const before = copy.content(pairs).length + copy.content(items).length - 1;
    const read = await readFrom(source, { after: copy.at, enough: committed - before }, signal);
    const changes = read.flatMap((one) => one.changes);
    await using another = there.open();
    const later = await copyOf(another, signal, true);
    for (const table of [items, pairs])
      assert.deepEqual(folded(table, copy.content(table), changes), later.content(table));
  });

  test('of a snapshot that was left, nothing stands in the way of the next', async ({ signal }) => {
    await using there = await prepared(open);
    await there.commit([insert(items, '1', 'a')]);
    await using source = there.open();
    await leaveSnapshot(source, { count: 2 }, signal);
    await there.commit([insert(items, '2', 'b')]);
    const copy = await copyOf(source, signal, true);
    assert.deepEqual(copy.content(items), content(['1', 'a'], ['2', 'b']));
  });

  test('a snapshot whose first piece was not taken leaves nothing that a new stream would be refused for', async ({
    signal,
  }) => {
    await using there = await prepared(open);
    await using source = there.open();
    await leaveSnapshot(source, { count: 1 }, signal);
    await copyOf(source, signal);
  });
}

function reading(open: Open): void {
  test('every transaction comes whole, with its changes in their order and its commit behind them', async ({
    signal,
  }) => {
    await using there = await prepared(open);
    await using source = there.open();
    const { at } = await copyOf(source, signal);
    const full: Change & RowChange = { kind: 'delete', table: keyless, before: row('k', null) };
    const given = [
      [insert(items, '1', 'a'), insert(pairs, '1', 'l', 'r'), update(items, '1', 'b')],
      [insert(keyless, 'k', null), insert(keyless, 'k', null), full],
      [remove(items, '1'), truncate(pairs), insert(items, '1', '')],
    ];
    for (const changes of given) await there.commit(changes);
    const read = await readFrom(source, { after: at, enough: 3 }, signal);
    assert.deepEqual(
      read.map((one) => kinds(one.changes)),
      given.map((changes) => kinds(changes)),
    );
    assert.deepEqual(
      read.map((one) => one.changes.map((change) => valuesOf(change))),
      given.map((changes) => changes.map((change) => valuesOf(change))),
    );
    const positions = read.map((one) => one.position.order);
    assert.ok(positions.every((order, index) => order > (positions[index - 1] ?? at.order)));
  });

  test('transactions come in the order of their commits, none torn by another', async ({ signal }) => {
    await using there = await prepared(open);
    await using source = there.open();
    const { at } = await copyOf(source, signal);
    const clients = await load(there, 4);
    await clients.reached(200);
    const committed = await clients.end();
    const read = await readFrom(source, { after: at, enough: committed + 1 }, signal);
    const counters = new Map<string, number>();
    for (const { changes } of read) {
      const [first, second, ...more] = changes;
      const [name = '', count = ''] = valuesOf(first);
      if (count === '0') continue;
      assert.equal(more.length, 0);
      assert.deepEqual(valuesOf(second), [`${name} ${count}`, name, count]);
      assert.equal(Number(count), (counters.get(name ?? '') ?? 0) + 1);
      counters.set(name ?? '', Number(count));
    }
    assert.equal(counters.size, 4);
  });

  test('a key that changes sends the key as it was, a row without a key the whole row', async ({ signal }) => {
    await using there = await prepared(open);
    await there.commit([insert(items, '1', 'a'), insert(keyless, 'x', 'y')]);
    await using source = there.open();
    const { at } = await copyOf(source, signal);
    await there.commit([
      { kind: 'update', table: items, before: row('1', null), after: row('2', 'a') },
      { kind: 'update', table: keyless, before: row('x', 'y'), after: row('x', 'z') },
    ]);
    const [one] = await readFrom(source, { after: at, enough: 1 }, signal);
    const [moved, changed] = one?.changes ?? [];
    assert.ok(moved?.kind === 'update' && moved.before && changed?.kind === 'update' && changed.before);
    assert.deepEqual([moved.before, moved.after], [row('1', null), row('2', 'a')]);
    assert.deepEqual([changed.table.identity, changed.before, changed.after], ['full', row('x', 'y'), row('x', 'z')]);
  });

  test('a transaction too big to hold comes in pieces, and what follows it comes whole', async ({ signal }) => {
    await using there = await prepared(open);
    await using source = there.open();
    const { at } = await copyOf(source, signal);
    const value = 'x'.repeat(100_000);
    const rows = Array.from({ length: 300 }, (_, index) => insert(items, String(index), `${value}${index}`));
    await there.commit([insert(items, 'before', null)]);
    await there.commit(rows);
    await there.commit([insert(items, 'behind', null)]);
    let largest = 0;
    let pieces = 0;
    const each = async (batch: { changes: readonly Change[]; end: unknown }): Promise<void> => {
      largest = Math.max(largest, batch.changes.length);
      if (batch.end === undefined) pieces += 1;
    };
    const read = await readFrom(source, { after: at, enough: 3, each }, signal);
    assert.deepEqual(
      read.map((one) => one.changes.length),
      [1, 300, 1],
    );
    assert.ok(pieces >= 3, `${pieces} pieces`);
    assert.ok(largest < 150, `${largest} rows in one batch`);
    assert.ok(read[1]?.changes.every((change, index) => valuesOf(change)[1] === `${value}${index}`));
  });
}

function resuming(open: Open): void {
  test('goes on exactly after any position that a commit had', async ({ signal }) => {
    await using there = await prepared(open);
    await using source = there.open();
    const { at } = await copyOf(source, signal);
    for (const key of ['1', '2', '3', '4']) await there.commit([insert(items, key, null)]);
    const all = await readFrom(source, { after: at, enough: 4 }, signal);
    for (const [index, { position }] of all.entries()) {
      await using another = there.open();
      const rest = await readFrom(another, { after: position, enough: 3 - index }, signal);
      assert.deepEqual(
        rest.map((one) => valuesOf(one.changes[0])[0]),
        ['2', '3', '4'].slice(index),
      );
    }
  });

  test('lets the primary forget only what was acknowledged, whatever was read, and however often', async ({
    signal,
  }) => {
    await using there = await prepared(open);
    await using source = there.open();
    const { at } = await copyOf(source, signal);
    for (const key of ['1', '2', '3']) await there.commit([insert(items, key, null)]);
    const [first, second] = await readFrom(source, { after: at, enough: 3 }, signal);
    assert.ok(first && second);
    assert.ok(((await there.kept()) ?? 0n) <= at.order);
    // Not even where it is read from: who reads there knows why, but the arrow back is `acknowledge` alone.
    for (const after of [second.position, first.position, at]) {
      await readFrom(source, { after, enough: 1 }, signal);
      assert.ok(((await there.kept()) ?? 0n) <= at.order);
    }
    const each = async (): Promise<void> => {
      await source.acknowledge(first.position);
      await settled(async () => (await there.kept()) === first.position.order);
    };
    await readFrom(source, { after: at, enough: 1, each }, signal);
    await source.acknowledge(at);
    await rejects(readFrom(source, { after: at, enough: 1 }, signal), 'SOURCE_POSITION_LOST');
    const rest = await readFrom(source, { after: first.position, enough: 2 }, signal);
    assert.deepEqual(
      rest.map((one) => valuesOf(one.changes[0])[0]),
      ['2', '3'],
    );
  });
}

function refusing(open: Open): void {
  test('refuses to go on where what it needs is gone, or is not ours', async ({ signal }) => {
    await using there = await prepared(open);
    await using source = there.open();
    const { at } = await copyOf(source, signal);
    const read = (after: typeof at) => readFrom(source, { after, enough: 1 }, signal);
    await rejects(read({ ...at, origin: '1' }), 'SOURCE_POSITION_LOST');
    await rejects(read({ ...at, order: at.order + 1_000_000_000n }), 'SOURCE_POSITION_LOST');
    await there.lose('nothing');
    await rejects(read(at), 'SOURCE_SLOT_LOST');
    await there.commit([insert(items, '1', null)]);
    await there.lose('theirs');
    await rejects(read(at), 'SOURCE_POSITION_LOST');
    await rejects(copyOf(source, signal), 'SOURCE_SLOT_FOREIGN');
    assert.notEqual(await there.kept(), undefined);
  });

  test('a second snapshot of a new stream is refused where the first one stands', async ({ signal }) => {
    await using there = await prepared(open);
    await using source = there.open();
    const { at } = await copyOf(source, signal);
    await rejects(copyOf(source, signal), 'SOURCE_SLOT_FOREIGN');
    await there.commit([insert(items, '1', null)]);
    assert.equal((await readFrom(source, { after: at, enough: 1 }, signal)).length, 1);
  });
}

function leaving(open: Open): void {
  const gone = (there: SourceUnderTest): Promise<void> => settled(async () => (await there.sessions()) === 0);
  /** Fails when leaving takes longer than a person would wait. */
  const promptly = async (leave: () => Promise<unknown>): Promise<void> => {
    const startedMs = performance.now();
    await leave();
    const tookMs = performance.now() - startedMs;
    assert.ok(tookMs < 2000, `${tookMs} ms`);
  };

  test('an abort ends an idle read, and leaves no session behind', async ({ signal }) => {
    await using there = await prepared(open);
    await using source = there.open();
    const { at } = await copyOf(source, signal);
    await there.commit([insert(items, '1', null)]);
    const stop = new AbortController();
    const reading = readFrom(source, { after: at, enough: 2 }, stop.signal);
    await settled(async () => (await there.sessions()) > 0);
    await promptly(async () => {
      stop.abort();
      await assert.rejects(reading);
      await gone(there);
    });
  });

  test('an abort ends a read that nobody pulls from', async ({ signal }) => {
    await using there = await prepared(open);
    await using source = there.open();
    const { at } = await copyOf(source, signal);
    const large = Array.from({ length: 400 }, (_, index) => insert(items, String(index), 'x'.repeat(100_000)));
    await there.commit(large);
    const stop = new AbortController();
    const batches = source.read(at, stop.signal)[Symbol.asyncIterator]();
    await batches.next();
    await promptly(async () => {
      stop.abort();
      await batches.return?.();
      await gone(there);
    });
  });

  test('leaving the loop, or a snapshot half way, leaves no session behind', async ({ signal }) => {
    await using there = await prepared(open);
    await there.commit([insert(items, '1', null)]);
    await using source = there.open();
    await promptly(async () => {
      await leaveSnapshot(source, { count: 2 }, signal);
      await gone(there);
    });
    const { at } = await copyOf(source, signal, true);
    await gone(there);
    await there.commit([insert(items, '2', null)]);
    await promptly(async () => {
      await readFrom(source, { after: at, enough: 1 }, signal);
      await gone(there);
    });
  });

  test('an abort in a snapshot ends it', async ({ signal }) => {
    await using there = await prepared(open);
    await there.commit([insert(items, '1', null), insert(pairs, '1', null, null)]);
    await using source = there.open();
    const stop = new AbortController();
    const copying = async (): Promise<void> => {
      for await (const _piece of source.snapshot({ again: false }, AbortSignal.any([stop.signal, signal])))
        stop.abort();
    };
    await promptly(async () => {
      await assert.rejects(copying());
      await gone(there);
    });
    await assert.rejects(copyOf(source, AbortSignal.abort(), true));
  });
}
