import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { median } from './latency.ts';

const tries = 100;
const blockBytes = 8192;

/** Median milliseconds of a write of 8 KiB and its fdatasync, in `folder`: the least that a durable commit costs on this disk. */
export async function fdatasyncMs(folder: string): Promise<number> {
  const path = join(folder, 'fdatasync');
  const file = await open(path, 'w');
  try {
    const block = Buffer.alloc(blockBytes, 1);
    const took: number[] = [];
    for (let index = 0; index < tries; index += 1) {
      const startedAt = performance.now();
      await file.write(block, 0, block.length, index * blockBytes);
      await file.datasync();
      took.push(performance.now() - startedAt);
    }
    return median(took);
  } finally {
    await file.close();
    await rm(path);
  }
}
