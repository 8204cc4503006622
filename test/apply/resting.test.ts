import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apply } from '../../src/apply/apply.ts';
import type { BrokerReader } from '../../src/broker/broker.ts';
import { openMemoryBroker } from '../../src/broker/memory/memory.ts';
import { epoch } from '../../src/change/position.ts';
import { ChangeoverError, isCode } from '../../src/error.ts';
import { openMemoryTarget } from '../../src/target/memory/memory.ts';
import type { Target } from '../../src/target/target.ts';
import { at } from '../control/facts.ts';

const releaseMs = 20;

/** A lane with one batch in its log, and nothing that will follow it. */
async function lane(signal: AbortSignal) {
  const broker = openMemoryBroker();
  const writer = broker.openWriter();
  await writer.append(epoch(1), {
    after: undefined,
    starts: true,
    changes: [{ kind: 'snapshot', tables: [] }],
    end: at(1),
  });
  const open = broker.openReader();
  const target = openMemoryTarget().open();
  const released = [Promise.withResolvers<number>(), Promise.withResolvers<number>()];
  let flushed = 0;
  const reader: BrokerReader = Object.assign(Object.create(open) as BrokerReader, {
    stream: open.stream,
    read: open.read.bind(open),
    release: async (_consumer: string, from: number) => released[flushed - 1]?.resolve(from),
  });
  const run = (flush: () => Promise<void>): Promise<void> => {
    const watched: Target = Object.assign(Object.create(target) as Target, {
      checkpoint: target.checkpoint.bind(target),
      begin: target.begin.bind(target),
      flush: async () => {
        flushed += 1;
        await flush();
      },
    });
    return apply(
      { broker: reader, target: watched, consumer: 'dublin', progressed: () => undefined, releaseMs },
      signal,
    );
  };
  return { run, writer, released: (time: 0 | 1) => released[time]?.promise };
}

test('what is applied is made durable and released also where nothing follows it, once each time', async () => {
  const stop = new AbortController();
  const { run, writer, released } = await lane(stop.signal);
  const running = run(async () => undefined);
  assert.equal(await released(0), 1);
  await writer.append(epoch(1), { after: at(1), starts: true, changes: [], end: at(2) });
  assert.equal(await released(1), 2);
  stop.abort();
  await running.catch((error: unknown) => assert.ok(stop.signal.aborted, String(error)));
});

test('a secondary that is gone is noticed also where nothing follows', async () => {
  const { run } = await lane(new AbortController().signal);
  const gone = (): Promise<void> => Promise.reject(new ChangeoverError('TARGET_UNREACHABLE', 'It crashed'));
  await assert.rejects(run(gone), (error) => isCode(error, 'TARGET_UNREACHABLE'));
});
