// A writer to kill: node log-writer.ts <folder> <seed>. Appends in bursts and prints each offset once its append has resolved; prints the
// code of the error it ends with.
import { writeSync } from 'node:fs';
import { openLogBroker } from '../../src/broker/log/writer.ts';
import { ChangeoverError } from '../../src/error.ts';
import { first, whole } from './batches.ts';
import { seeded } from './disks.ts';

const [folder = '', seed = ''] = process.argv.slice(2);
const chance = seeded(Number(seed));
try {
  await using writer = await openLogBroker({ folder, segmentBytesMax: 128 * 1024 }, AbortSignal.timeout(60_000));
  let next = Number((await writer.tail())?.order ?? 0) + 1;
  for (;;) {
    const burst = Array.from({ length: 1 + Math.floor(chance() * 20) }, async () => {
      const order = next++;
      const offset = await writer.append(first, whole(order, (order * 7919) % 5000));
      // Not through process.stdout, which may keep it for a while.
      writeSync(1, `${offset}\n`);
    });
    await Promise.all(burst);
  }
} catch (error) {
  writeSync(1, `${error instanceof ChangeoverError ? error.code : String(error)}\n`);
}
