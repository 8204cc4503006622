import type { TlsPlan } from '../../tls.ts';

export interface Encryption {
  /** The address without what it says of TLS: the driver must not make something else of it. */
  readonly url: string;
  readonly host: string;
  /** Undefined: in the open. */
  readonly tls: TlsPlan | undefined;
}

/** As libpq names them, and one of ours, `sslservername`.
 *  https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-SSLMODE */
const names = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'sslservername'] as const;

/** What an address says of TLS. Any mode but `disable` means all of it, host name included: libpq's weaker ones protect from nobody who
 *  can stand between. `sslrootcert=system` means the authorities that Node knows. */
export function encryptionOf(address: string): Encryption {
  if (!URL.canParse(address)) return { url: address, host: '', tls: undefined };
  const url = new URL(address);
  const given = new Map(names.map((name) => [name, url.searchParams.get(name) || undefined]));
  const host = url.searchParams.get('host') ?? url.hostname;
  const mode = given.get('sslmode') ?? (given.values().some(Boolean) ? 'verify-full' : process.env.PGSSLMODE);
  if (mode === undefined || mode === '' || mode === 'disable') return { url: withoutTls(url), host, tls: undefined };
  const ca = given.get('sslrootcert');
  const [cert, key, serverName] = [given.get('sslcert'), given.get('sslkey'), given.get('sslservername')];
  const tls: TlsPlan = {
    ...(ca !== undefined && ca !== 'system' && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(serverName !== undefined && { serverName }),
  };
  return { url: withoutTls(url), host, tls };
}

function withoutTls(url: URL): string {
  for (const name of names) if (url.searchParams.has(name)) url.searchParams.delete(name);
  return url.href;
}
