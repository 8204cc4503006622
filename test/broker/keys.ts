import { randomBytes } from 'node:crypto';
import type { KeyRing } from '../../src/broker/key-ring.ts';
import { openKeyList } from '../../src/broker/seal/key-list.ts';

/** A ring of this process, with one key to begin with. */
export function memoryRing(key = randomBytes(32).toString('hex')): KeyRing & { readonly text: string } {
  const held = { text: key };
  const ring = openKeyList({
    name: 'key ring of the test',
    read: async () => held.text,
    add: async (added) => void (held.text += `\n${added}`),
  });
  return Object.assign(held, ring);
}
