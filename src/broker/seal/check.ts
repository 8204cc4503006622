import { randomBytes } from 'node:crypto';
import { ChangeoverError } from '../../error.ts';
import type { Finding } from '../../finding.ts';
import type { KeyRing } from '../key-ring.ts';
import { keyBytes } from './data-keys.ts';

const site = 'broker';

/** What `check` says of a ring: that what it wraps it also gives back, and how it is kept. */
export async function sealFindings(ring: KeyRing, signal: AbortSignal): Promise<readonly Finding[]> {
  const dataKey = randomBytes(keyBytes);
  try {
    const given = await ring.unwrap(await ring.wrap(dataKey, signal), signal);
    if (!given.equals(dataKey))
      throw new ChangeoverError('BROKER_KEY_REFUSED', `The ${ring.name} gives another key back`);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ChangeoverError) || error.code === 'ASSERTION') throw error;
    const { message, hint, code } = error;
    return [{ severity: 'blocker', check: 'seal-keys', site, message, cure: hint, code }];
  }
  return ring.check();
}

/** Our own log lies where we are, in a folder of our own; a server is run by somebody. */
export const unsealedFindings = (kind: string): readonly Finding[] =>
  kind === 'log'
    ? []
    : [
        {
          severity: 'warning',
          check: 'seal',
          site,
          message: 'Whoever runs the broker can read every row that passes, and put rows of their own in',
          cure: [
            '# changeover.yaml; then: changeover keys rotate, and bring the file to every machine',
            'broker: { seal: { key_file: ./changeover.keys } }',
            '# a lane that runs unsealed already begins anew with: changeover run --restart',
          ].join('\n'),
        },
      ];
