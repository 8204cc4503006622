// One role in a process of its own, to be killed. Ends with its parent, whose end of our standard input closes then.
import { setTimeout as sleep } from 'node:timers/promises';
import { apply } from '../../src/apply/apply.ts';
import type { BrokerReader } from '../../src/broker/broker.ts';
import { type Disk, disk } from '../../src/broker/log/disk.ts';
import { openLogReader } from '../../src/broker/log/reader.ts';
import { consumersOf } from '../../src/broker/log/retention.ts';
import { openLogBroker } from '../../src/broker/log/writer.ts';
import { capture } from '../../src/capture/capture.ts';
import { epoch, offset } from '../../src/change/position.ts';
import { isCode } from '../../src/error.ts';
import { supervise } from '../../src/flow/supervise.ts';
import { postgresSource } from '../../src/source/postgres/open.ts';
import { openPostgresTarget } from '../../src/target/postgres/open.ts';

export interface AgentOptions {
  readonly role: 'capture' | 'apply';
  readonly folder: string;
  readonly primary: string;
  readonly secondary: string;
}

const name = 'crash';

/** Small segments, and nothing kept for a look back: what was released too early is soon gone. */
const retention = { segmentBytesMax: 256 * 1024, keepBytes: 0, keepMs: 0 };

/** A disk on which entries are a while on their way. A process that is killed leaves what it wrote to the kernel: only before that can it
 *  lose what it must not have acknowledged yet. */
const slowDisk: Disk = {
  ...disk,
  async open(path, how) {
    const file = await disk.open(path, how);
    return {
      ...file,
      async write(bytes, position) {
        if (path.endsWith('.segment')) await sleep(30);
        await file.write(bytes, position);
      },
    };
  },
};

async function runCapture(
  { folder, primary: url }: AgentOptions,
  progressed: () => void,
  signal: AbortSignal,
): Promise<void> {
  await using broker = await openLogBroker({ folder, disk: slowDisk, ...retention }, signal);
  if (!(await consumersOf(folder)).has(name)) {
    await using reader = await openLogReader({ folder }, signal);
    await reader.release(name, offset(0));
  }
  await using source = postgresSource({ url, name, heartbeatMs: 200, wanted: () => true });
  const openReader = (inner: AbortSignal): Promise<BrokerReader> => openLogReader({ folder }, inner);
  await capture({ source, broker, openReader, epoch: epoch(1), progressed }, signal);
}

async function runApply({ folder, secondary: url }: AgentOptions, progressed: () => void, signal: AbortSignal) {
  await using broker = await readerOf(folder, signal);
  await using target = await openPostgresTarget({ url, name }, signal);
  await apply({ broker, target, consumer: name, progressed, releaseMs: 200 }, signal);
}

/** The log may not have begun yet. */
async function readerOf(folder: string, signal: AbortSignal): Promise<BrokerReader> {
  for (;;) {
    try {
      const reader = await openLogReader({ folder }, signal);
      await reader.observe();
      return reader;
    } catch (error) {
      if (!isCode(error, 'BROKER_EMPTY')) throw error;
    }
    await sleep(20, undefined, { signal });
  }
}

const options = JSON.parse(process.argv[2] ?? '{}') as AgentOptions;
const run = options.role === 'capture' ? runCapture : runApply;
const stop = new AbortController();
process.stdin.on('end', () => stop.abort()).resume();
await supervise(
  {
    run: (progressed, signal) => run(options, progressed, signal),
    onLife: (life) => console.log(life.state === 'running' ? life.state : `${life.state} ${life.error ?? ''}`),
  },
  stop.signal,
);
