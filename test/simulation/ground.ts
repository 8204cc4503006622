import diagnostics from 'node:diagnostics_channel';
import files from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';
import { type Disk, onDisk } from './disk.ts';
import { Channel, running } from './process.ts';

/* What the loops ask of the platform: time, chance, files, and who hears what they say. A process of a simulated world gets those of its machine; everybody else
   in this process of Node the real ones. The loops themselves know nothing of it (decision 25). */

type Waiting = { readonly signal?: AbortSignal };

const real = {
  sleep: timers.setTimeout,
  turn: timers.setImmediate,
  timeout: AbortSignal.timeout.bind(AbortSignal),
  now: Date.now.bind(Date),
  uptime: performance.now.bind(performance),
  random: Math.random.bind(Math),
  readFileSync: files.readFileSync,
  monotonic: process.hrtime.bigint.bind(process.hrtime),
  channel: diagnostics.channel,
};

const sleep = <T>(ms?: number, value?: T, options: Waiting = {}): Promise<T> => {
  const process = running.getStore();
  if (!process) return real.sleep(ms, value, options);
  return process.sleep(ms ?? 1, options.signal).then(() => value as T);
};

const turn = <T>(value?: T, options: Waiting = {}): Promise<T> => {
  const process = running.getStore();
  if (!process) return real.turn(value, options);
  return process.sleep(0, options.signal).then(() => value as T);
};

const timeout = (ms: number): AbortSignal => {
  const process = running.getStore();
  if (!process) return real.timeout(ms);
  const stop = new AbortController();
  process.after(ms, () => stop.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')));
  return stop.signal;
};

const channel = (name: string): unknown => {
  const process = running.getStore();
  if (!process) return real.channel(name);
  const there = process.channels.get(name) ?? new Channel();
  process.channels.set(name, there);
  return there;
};

const uptime = (): bigint => {
  const machine = running.getStore()?.machine;
  return machine ? BigInt(Math.floor((machine.scheduler.nowMs - machine.bootedAtMs) * 1e6)) : real.monotonic();
};

/** Of what is read so, a simulated machine has only the name of its boot. */
const readFileSync = (...given: Parameters<typeof files.readFileSync>): unknown => {
  const machine = running.getStore()?.machine;
  return machine ? `boot at ${machine.bootedAtMs}` : real.readFileSync(...given);
};

/** In a simulated process `simulated`, else what was there before. */
function divert(
  name: 'mkdir' | 'readdir' | 'readFile' | 'rename' | 'rm' | 'writeFile',
  simulated: (...given: readonly unknown[]) => unknown,
): void {
  const before = fs[name] as (...given: readonly unknown[]) => unknown;
  Object.assign(fs, {
    [name]: (...given: readonly unknown[]) => (running.getStore() ? simulated(...given) : before(...given)),
  });
}

const reading = (read: (disk: Disk) => unknown): Promise<unknown> => {
  const process = running.getStore();
  if (!process?.isAlive) return new Promise(() => undefined);
  return new Promise((resolve) => resolve(read(process.machine.disk)));
};

/** From here on, for whoever imports these after or before. */
export function layGround(): void {
  Object.assign(diagnostics, { channel });
  Object.assign(files, { readFileSync });
  Object.assign(process.hrtime, { bigint: uptime });
  Object.assign(timers, { setTimeout: sleep, setImmediate: turn });
  Object.assign(AbortSignal, { timeout });
  Date.now = () => running.getStore()?.machine.clock.readMs() ?? real.now();
  Math.random = () => running.getStore()?.machine.chance.next() ?? real.random();
  Object.defineProperty(performance, 'now', {
    value: () => running.getStore()?.machine.scheduler.nowMs ?? real.uptime(),
  });
  divert('mkdir', () => reading(() => undefined));
  divert('readdir', (folder) => reading((disk) => disk.list(String(folder))));
  divert('readFile', (path) => reading((disk) => disk.read(String(path))));
  divert('rename', (from, to) => onDisk((disk) => disk.rename(String(from), String(to))));
  divert('rm', (path) => onDisk((disk) => disk.remove(String(path))));
  divert('writeFile', (path, text, options) =>
    onDisk((disk) => disk.write(String(path), String(text), Boolean((options as { flush?: boolean }).flush))),
  );
  syncBuiltinESMExports();
}
