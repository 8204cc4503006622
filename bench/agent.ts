import { writeFile } from 'node:fs/promises';
import { Session } from 'node:inspector/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { apply } from '../src/apply/apply.ts';
import type { Broker } from '../src/broker/broker.ts';
import { openLogReader } from '../src/broker/log/reader.ts';
import { openLogBroker } from '../src/broker/log/writer.ts';
import { capture } from '../src/capture/capture.ts';
import { epoch } from '../src/change/position.ts';
import { postgresSource } from '../src/source/postgres/open.ts';
import { openPostgresTarget } from '../src/target/postgres/open.ts';
import { subscribe } from '../src/telemetry.ts';
import type { Ask, Lane, Usage } from './changeover.ts';

/* Changeover as a process of its own, so that what it costs can be told from what the measuring costs. Told over IPC which loops
   to run; a loop that fails ends the process. */

const waitMs = 2;
/** A heap that is sampled less often hides its peaks. */
const sampleMs = 50;

interface Running {
  stop(): Promise<void>;
}

const brokers = new Map<string, Promise<Broker>>();
const running = new Map<string, Running>();
let rssBytesMax = 0;
let unfolded = 0;
const profiler = new Session();

function start(key: string, loop: (signal: AbortSignal) => Promise<void>): void {
  const controller = new AbortController();
  const { signal } = controller;
  const ended = loop(signal).catch((error: unknown) => {
    if (signal.aborted) return;
    console.error(`${key} failed:`, error);
    process.exit(1);
  });
  running.set(key, {
    async stop() {
      controller.abort();
      await ended;
      running.delete(key);
    },
  });
}

/** The log stays open while the lane's loops come and go, as it does in a process that keeps running. */
function brokerOf({ name, folder }: Lane): Promise<Broker> {
  const known = brokers.get(name) ?? openLogBroker({ folder }, new AbortController().signal);
  brokers.set(name, known);
  return known;
}

const progressed = (): void => undefined;

async function runCapture(lane: Lane, signal: AbortSignal): Promise<void> {
  const broker = await brokerOf(lane);
  const wanted = ({ name }: { readonly name: string }): boolean => lane.tables.includes(name);
  const { copyConnections } = lane;
  await using source = postgresSource({
    url: lane.from,
    name: lane.name,
    wanted,
    heartbeatMs: 1000,
    ...(copyConnections !== undefined && { copyConnections }),
  });
  await capture({ source, broker, epoch: epoch(1), progressed }, signal);
}

async function runApply(lane: Lane, signal: AbortSignal): Promise<void> {
  await brokerOf(lane);
  await using broker = await openLogReader({ folder: lane.folder }, signal);
  await using target = await openPostgresTarget({ url: lane.to, name: lane.name }, signal);
  await apply({ broker, target, consumer: 'bench', progressed }, signal);
}

async function untilCaptured(lane: Lane, order: bigint): Promise<void> {
  const broker = await brokerOf(lane);
  while (((await broker.tail())?.order ?? 0n) < order) await sleep(waitMs);
}

function usage(): Usage {
  const { user, system } = process.cpuUsage();
  const taken = {
    cpuMs: (user + system) / 1000,
    rssBytesMax: Math.max(rssBytesMax, process.memoryUsage.rss()),
    unfolded,
  };
  rssBytesMax = 0;
  return taken;
}

async function answer(ask: Ask): Promise<unknown> {
  switch (ask.kind) {
    case 'capture':
      return start(`capture ${ask.lane.name}`, (signal) => runCapture(ask.lane, signal));
    case 'apply':
      return start(`apply ${ask.lane.name}`, (signal) => runApply(ask.lane, signal));
    case 'stop':
      await Promise.all(Array.from(running.values(), (one) => one.stop()));
      return undefined;
    case 'captured':
      return untilCaptured(ask.lane, ask.order);
    case 'usage':
      return usage();
    case 'profile':
      profiler.connect();
      await profiler.post('Profiler.enable');
      await profiler.post('Profiler.setSamplingInterval', { interval: 500 });
      return profiler.post('Profiler.start');
    case 'profiled': {
      const { profile } = await profiler.post('Profiler.stop');
      profiler.disconnect();
      return writeFile(ask.path, JSON.stringify(profile));
    }
    default:
      return ask satisfies never;
  }
}

setInterval(() => {
  rssBytesMax = Math.max(rssBytesMax, process.memoryUsage.rss());
}, sampleMs).unref();
subscribe('changeover:unfolded', () => {
  unfolded += 1;
});
process.on('message', ({ id, ask }: { readonly id: number; readonly ask: Ask }) => {
  answer(ask).then(
    (result) => process.send?.({ id, result }),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
// Ctrl-C reaches the whole group; the bench says when it is over.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(0));
