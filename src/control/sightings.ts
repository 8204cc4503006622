import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MachineTime } from '../flow/machine-time.ts';
import { noSightings, type Seen, type Sightings } from './loss.ts';
import { readPosition, type WrittenPosition } from './standing.ts';

/* What the last looks at the leader saw, for whoever must know it when the leader can no longer be asked. */

const fileIn = (folder: string): string => join(folder, 'sightings.json');

export async function keepSightings(folder: string, leader: string, { last, covered }: Sightings): Promise<void> {
  const text = JSON.stringify({ leader, last, covered }, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(`${fileIn(folder)}.new`, `${text}\n`, { mode: 0o600 });
  await rename(`${fileIn(folder)}.new`, fileIn(folder));
}

/** As JSON has it. */
interface Written {
  readonly leader: string;
  readonly last?: WrittenSeen;
  readonly covered?: WrittenSeen;
}

interface WrittenSeen {
  readonly position: WrittenPosition;
  readonly transactions: string;
  readonly atMs: number;
  readonly machine?: MachineTime;
}

/** None, where nobody looked at this leader or it cannot be read: then a failover says that it does not know. */
export async function keptSightings(folder: string, leader: string): Promise<Sightings> {
  const text = await readFile(fileIn(folder), 'utf8').catch(() => '');
  try {
    const found = JSON.parse(text) as Written;
    if (found.leader !== leader) return noSightings;
    const last = found.last && seenIn(found.last);
    return { last, covered: found.covered && seenIn(found.covered), waiting: last ? [last] : [] };
  } catch {
    return noSightings;
  }
}

const seenIn = ({ position, transactions, atMs, machine }: WrittenSeen): Seen => ({
  position: readPosition(position),
  transactions: BigInt(transactions),
  atMs,
  machine,
});
