import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** A moment by the machine's own counting, which nobody can set. Comparable within one `boot` only. */
export interface MachineTime {
  /** Names the time since the machine began. */
  readonly boot: string;
  /** Milliseconds in it, but for those that the machine slept. */
  readonly upMs: number;
}

/** Where the system does not name its boots, this process is one. */
const ownBoot = randomUUID();

/** The same for all processes of a machine, on Linux: https://www.kernel.org/doc/html/latest/admin-guide/sysctl/kernel.html (random) */
function boot(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return ownBoot;
  }
}

export const machineTime = (): MachineTime => ({
  boot: boot(),
  upMs: Number(process.hrtime.bigint() / 1_000_000n),
});
