export const addressForm = 'postgres://user@host:5432/database';

/** What is wrong with the address of a site, never quoting it: it may hold the password. Undefined: nothing. */
export function addressFault(text: string): string | undefined {
  if (!/^postgres(ql)?:\/\//.test(text)) return `is no PostgreSQL address; write ${addressForm}`;
  if (!URL.canParse(text))
    return `cannot be read as an address; write ${addressForm}, with @ : / # % in the password as %40 %3A %2F %23 %25`;
  if (/^\/?$/.test(new URL(text).pathname)) return `names no database; write ${addressForm}`;
  return undefined;
}

export const hasPassword = (url: string): boolean =>
  URL.canParse(url) && (new URL(url).password !== '' || new URL(url).searchParams.has('password'));

/** The address with the password put in. */
export function withPassword(address: string, password: string): string {
  const url = new URL(address);
  // An address of a local socket has no host, and then nowhere to put a password but the query.
  if (url.hostname === '') url.searchParams.set('password', password);
  else url.password = encodeURIComponent(password);
  return url.href;
}

/** The address with each of its secrets as `***`. */
export function redactUrl(address: string): string {
  if (!URL.canParse(address)) return '***';
  const url = new URL(address);
  if (url.password !== '') url.password = '***';
  for (const name of ['password', 'sslpassword']) if (url.searchParams.has(name)) url.searchParams.set(name, '***');
  return url.href;
}

/** Equal for two addresses of one database, as far as text can tell. */
export function placeOf(address: string): string {
  const url = new URL(address);
  const host = url.searchParams.get('host') ?? url.hostname.toLowerCase();
  return `${host}:${url.searchParams.get('port') ?? (url.port || '5432')}${url.pathname}`;
}
