/** The servers that an address names. */
export interface Servers {
  /** Each as an address of its own, in their order. At least one. */
  readonly addresses: readonly string[];
  /** Only one that takes writes will do: not a standby. */
  readonly mustLead: boolean;
}

/** Of an address with `hosts=b:5433,c` in its query, which stands for `a,b:5433,c` before its path. Where there are several, the one that
 *  leads is meant, whatever `target_session_attrs` says: both sides of a lane are written to.
 *  https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS */
export function serversOf(address: string): Servers {
  if (!URL.canParse(address)) return { addresses: [address], mustLead: false };
  const url = new URL(address);
  const others = url.searchParams.get('hosts')?.split(',') ?? [];
  const attributes = url.searchParams.get('target_session_attrs');
  url.searchParams.delete('hosts');
  url.searchParams.delete('target_session_attrs');
  const addresses = [url.href, ...others.map((other) => at(url, other))];
  return { addresses, mustLead: others.length > 0 || attributes === 'read-write' || attributes === 'primary' };
}

function at(first: URL, host: string): string {
  const url = new URL(first);
  url.port = '';
  url.host = host;
  return url.href;
}
