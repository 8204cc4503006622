// Measures the embedded log: node bench/log.ts [folder for its files]. All figures are of one run on one machine, durable (fdatasync).
import { spawn } from 'node:child_process';
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type LogReader, openLogReader } from '../src/broker/log/reader.ts';
import { openLogBroker } from '../src/broker/log/writer.ts';
import type { Batch } from '../src/change/change.ts';
import { epoch, type Offset, offset } from '../src/change/position.ts';

const { signal } = new AbortController();
const first = epoch(1);
const position = { origin: 'bench', order: 1n, token: '0/1' };

const batchOf = (bytes: number): Batch => ({
  after: position,
  starts: true,
  changes: [{ kind: 'message', prefix: 'bench', content: Buffer.alloc(bytes, 'x') }],
  end: position,
});

const nowMs = (): number => performance.timeOrigin + performance.now();

async function appends(folder: string, bytes: number, count: number, atOnce: number): Promise<number> {
  await using writer = await openLogBroker({ folder }, signal);
  const batch = batchOf(bytes);
  const began = nowMs();
  let left = count;
  const one = async (): Promise<void> => {
    while (left-- > 0) await writer.append(first, batch);
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  return count / ((nowMs() - began) / 1000);
}

async function reads(
  folder: string,
  count: number,
): Promise<{ perSecond: number; mbPerSecond: number; rssMb: number }> {
  await using reader = await openLogReader({ folder }, signal);
  const began = nowMs();
  let bytes = 0;
  let rss = 0;
  let seen = 0;
  for await (const entry of reader.read(offset(0), signal)) {
    bytes += entry.bytes;
    if (seen % 500 === 0) rss = Math.max(rss, process.memoryUsage.rss());
    if (++seen === count) break;
  }
  const seconds = (nowMs() - began) / 1000;
  return { perSecond: count / seconds, mbPerSecond: bytes / 1e6 / seconds, rssMb: rss / 1e6 };
}

/** What the disk alone does: the limit for appends that do not share a sync. */
function bare(path: string, bytes: number, count: number): number {
  const file = openSync(path, 'w');
  const block = Buffer.alloc(bytes, 'x');
  const began = nowMs();
  for (let done = 0; done < count; done += 1) {
    writeSync(file, block);
    fdatasyncSync(file);
  }
  closeSync(file);
  return count / ((nowMs() - began) / 1000);
}

/** Milliseconds from the return of append() to the entry in the hands of a reader, in this process or another; 0 where the reader was
 *  first. Ascending. */
async function wakes(folder: string, where: 'same' | 'other'): Promise<readonly number[]> {
  await using writer = await openLogBroker({ folder }, signal);
  await using reader = await openLogReader({ folder }, signal);
  const { next } = await reader.observe();
  const stop = new AbortController();
  const child =
    where === 'other' ? spawn(process.execPath, [import.meta.filename, 'follow', folder, String(next)]) : undefined;
  const seen = child ? linesOf(child.stdout) : seenHere(reader, next, stop.signal);
  const late: number[] = [];
  for (let order = 0; order <= 1000; order += 1) {
    const coming = seen.next();
    await writer.append(first, batchOf(100));
    const began = nowMs();
    const { value } = await coming;
    // The first one waits for the other process to start.
    if (order > 0) late.push(Math.max(0, Number(value) - began));
  }
  stop.abort();
  child?.kill();
  await seen.return(undefined);
  return late.toSorted((a, b) => a - b);
}

async function* seenHere(reader: LogReader, from: Offset, stop: AbortSignal): AsyncGenerator<number> {
  for await (const _ of reader.read(from, stop)) yield nowMs();
}

async function* linesOf(output: NodeJS.ReadableStream): AsyncGenerator<number> {
  for await (const line of createInterface({ input: output })) yield Number(line);
}

async function follow(folder: string, from: number): Promise<void> {
  await using reader = await openLogReader({ folder }, signal);
  for await (const _ of reader.read(offset(from), signal)) writeSync(1, `${nowMs()}\n`);
}

async function measure(within: string): Promise<void> {
  const fresh = async (): Promise<string> => mkdtemp(join(within, 'changeover-bench-'));
  const folders = [await fresh(), await fresh(), await fresh()] as const;
  try {
    const [large, small, wake] = folders;
    const line = (what: string, figure: string): void => console.log(`${what.padEnd(52)} ${figure}`);
    line(
      'bare write and fdatasync of 256 KiB',
      `${(bare(join(large, 'bare'), 262_144, 1000) * 0.262).toFixed(0)} MB/s`,
    );
    line('bare write and fdatasync of 400 bytes', `${bare(join(small, 'bare'), 400, 2000).toFixed(0)}/s`);
    const one = await appends(large, 256 * 1024, 2000, 1);
    line('append 256 KiB, one after another', `${(one * 0.262).toFixed(0)} MB/s durable`);
    const four = await appends(large, 256 * 1024, 4000, 4);
    line('append 256 KiB, four at once', `${(four * 0.262).toFixed(0)} MB/s durable`);
    line('append 300 bytes, one after another', `${(await appends(small, 300, 4000, 1)).toFixed(0)}/s`);
    line('append 300 bytes, 100 at once', `${(await appends(small, 300, 200_000, 100)).toFixed(0)}/s`);
    const big = await reads(large, 6000);
    line(
      'read 256 KiB entries, verified and decoded',
      `${big.mbPerSecond.toFixed(0)} MB/s, RSS ${big.rssMb.toFixed(0)} MB`,
    );
    const many = await reads(small, 204_000);
    line(
      'read 300-byte entries, verified and decoded',
      `${many.perSecond.toFixed(0)}/s, RSS ${many.rssMb.toFixed(0)} MB`,
    );
    for (const where of ['same', 'other'] as const) {
      const late = await wakes(wake, where);
      const at = (share: number): string => (late[Math.floor(late.length * share)] ?? Number.NaN).toFixed(3);
      line(`append() resolved to entry read, ${where} process`, `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);
    }
  } finally {
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
  }
}

const [verb, folder = '', from = '0'] = process.argv.slice(2);
if (verb === 'follow') await follow(folder, Number(from));
else await measure(verb ?? tmpdir());
