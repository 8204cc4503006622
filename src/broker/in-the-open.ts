import type { Finding } from '../finding.ts';
import { isRemote, type TlsPlan } from '../tls.ts';

export interface Addressed {
  /** With its port, where it has one. */
  readonly host: string;
  /** The host alone: what its certificate must carry. */
  readonly name: string;
  readonly tls?: TlsPlan;
}

/** A network that somebody else can listen to is found before it is used. */
export function openFindings(
  broker: string,
  { targets, cure }: { readonly targets: readonly Addressed[]; readonly cure: string },
): readonly Finding[] {
  const open = targets.filter(({ tls, name }) => !tls && isRemote(name));
  if (open.length === 0) return [];
  const hosts = open.map(({ host }) => host).join(', ');
  return [
    {
      severity: 'warning',
      check: 'tls',
      site: 'broker',
      message: `What passes between here and ${broker} at ${hosts} goes in the open, the login too`,
      cure,
    },
  ];
}
