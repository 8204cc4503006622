import { resolve } from 'node:path';
import type { TlsPlan } from '../tls.ts';

export const addressForm = 'postgres://user@host:5432/database';

/** What is wrong with the address of a site, never quoting it: it may hold the password. Undefined: nothing. */
export function addressFault(text: string): string | undefined {
  if (!/^postgres(ql)?:\/\//.test(text)) return `is no PostgreSQL address; write ${addressForm}`;
  if (!URL.canParse(text))
    return `cannot be read as an address; write ${addressForm}, with @ : / # % in the password as %40 %3A %2F %23 %25`;
  if (/^\/?$/.test(new URL(text).pathname)) return `names no database; write ${addressForm}`;
  return tlsFault(new URL(text).searchParams);
}

/** As libpq names them; `sslservername` is ours. */
const tlsNames = { ca: 'sslrootcert', cert: 'sslcert', key: 'sslkey', serverName: 'sslservername' } as const;
const modes = ['disable', 'require', 'verify-ca', 'verify-full'];
/** The driver would read these in its own way, and some of them turn the proof off. */
const foreign = ['ssl', 'sslnegotiation', 'uselibpqcompat', 'sslpassword'];

function tlsFault(given: URLSearchParams): string | undefined {
  const unknown = foreign.find((name) => given.has(name));
  if (unknown !== undefined) return `says ${unknown}, which is not read here; write sslmode=verify-full`;
  const mode = given.get('sslmode');
  if (mode !== null && !modes.includes(mode))
    return 'says an sslmode that may end without TLS, or without proof of who is there; write sslmode=verify-full, or sslmode=disable';
  if (mode === 'disable' && Object.values(tlsNames).some((name) => given.has(name)))
    return 'says sslmode=disable, and certificates; keep one of the two';
  if (given.has(tlsNames.cert) !== given.has(tlsNames.key))
    return 'names one of sslcert and sslkey; one is nothing without the other';
  return undefined;
}

/** Whether the address itself says how it is encrypted. */
export const saysTls = (address: string): boolean =>
  URL.canParse(address) &&
  ['sslmode', ...Object.values(tlsNames)].some((name) => new URL(address).searchParams.has(name));

/** The address with a plan of TLS put in. */
export function withTls(address: string, plan: TlsPlan): string {
  const url = new URL(address);
  url.searchParams.set('sslmode', 'verify-full');
  for (const [option, name] of Object.entries(tlsNames) as [keyof TlsPlan, string][])
    if (plan[option] !== undefined) url.searchParams.set(name, plan[option]);
  return url.href;
}

/** The address with the files that it names as absolute paths. */
export function withPathsFrom(address: string, base: string): string {
  if (!saysTls(address)) return address;
  const url = new URL(address);
  for (const name of [tlsNames.ca, tlsNames.cert, tlsNames.key]) {
    const path = url.searchParams.get(name);
    if (path !== null && path !== 'system') url.searchParams.set(name, resolve(base, path));
  }
  return url.href;
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
