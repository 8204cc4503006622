import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apply } from '../../src/apply/apply.ts';
import { openMemoryBroker } from '../../src/broker/memory/memory.ts';
import type { Batch } from '../../src/change/change.ts';
import { epoch } from '../../src/change/position.ts';
import { isCode } from '../../src/error.ts';
import { openMemoryTarget } from '../../src/target/memory/memory.ts';
import { at } from '../control/facts.ts';

const told = { id: 'a', atMs: 0 };
const copy: Batch = { after: undefined, starts: true, changes: [{ kind: 'snapshot', tables: [] }], end: at(1) };
const promoted: Batch = {
  after: at(1),
  starts: true,
  changes: [
    {
      kind: 'control',
      event: { kind: 'promoted', ...told, what: 'switchover', from: 'london', leader: 'dublin', epoch: 2 },
    },
  ],
  end: at(5, '99'),
};
const next: Batch = { after: at(5, '99'), starts: true, changes: [], end: at(6, '99') };

/** What ends apply to a site, or undefined once it has come to the end. */
async function appliedTo(consumer: string): Promise<unknown> {
  const broker = openMemoryBroker();
  await using writer = broker.openWriter();
  await writer.append(epoch(1), copy);
  await writer.append(epoch(2), promoted);
  await writer.append(epoch(2), next);
  const stop = new AbortController();
  await using reader = broker.openReader();
  await using target = openMemoryTarget().open();
  const progressed = async (): Promise<void> => {
    if ((await target.checkpoint(stop.signal))?.position?.order === next.end?.order) stop.abort();
  };
  try {
    await apply({ broker: reader, target, consumer, progressed: () => void progressed() }, stop.signal);
    return undefined;
  } catch (error) {
    return stop.signal.aborted ? undefined : error;
  }
}

test('a site that leads is never fed with what was committed there, however long its apply agent lives', async () => {
  assert.ok(isCode(await appliedTo('dublin'), 'EPOCH_FENCED'));
});

test('others follow the stream into the next epoch, where its positions are those of another database', async () => {
  assert.equal(await appliedTo('london'), undefined);
});
