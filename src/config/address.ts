import { resolve } from 'node:path';
import { assert } from '../error.ts';
import type { TlsPlan } from '../tls.ts';

export const addressForm = 'postgres://user@host:5432/database';

/** The address as URLs are read: of several hosts before the path, as libpq has them, those behind the first stand in its query,
 *  `hosts=b:5433,c`. Undefined: it cannot be read.
 *  https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS */
function readUrl(text: string): URL | undefined {
  const [, head, hosts = '', tail] = /^(postgres(?:ql)?:\/\/(?:[^@/?#]*@)?)([^/?#]*)(.*)$/s.exec(text) ?? [];
  const [first, ...others] = hosts.split(',');
  if (others.length === 0) return URL.parse(text) ?? undefined;
  const url = URL.parse(`${head}${first}${tail}`) ?? undefined;
  if (!first || others.some((host) => host === '' || !URL.canParse(`postgres://${host}/`))) return undefined;
  url?.searchParams.set('hosts', others.join(','));
  return url;
}

/** Only of an address without fault. */
function urlOf(address: string): URL {
  const url = readUrl(address);
  assert(url !== undefined, 'An address that cannot be read');
  return url;
}

/** Whether each % in it begins a character's code. */
export function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** The first, where there are several. */
export const hostOf = (address: string): string => urlOf(address).hostname;

/** What is wrong with the address of a site, never quoting it: it may hold the password. Undefined: nothing. */
export function addressFault(text: string): string | undefined {
  if (!/^postgres(ql)?:\/\//.test(text)) return `is no PostgreSQL address; write ${addressForm}`;
  const url = readUrl(text);
  if (!url)
    return `cannot be read as an address; write ${addressForm}, with @ : / # % in the password as %40 %3A %2F %23 %25`;
  if (!isEncoded(url.username + url.password + url.pathname))
    return 'has a % that stands for nothing; in a user, password or database write % itself as %25';
  if (/^\/?$/.test(url.pathname)) return `names no database; write ${addressForm}`;
  return serversFault(url.searchParams) ?? tlsFault(url.searchParams);
}

function serversFault(given: URLSearchParams): string | undefined {
  if (given.get('host')?.includes(','))
    return 'names several hosts in its query; write them before the database: postgres://user@one:5432,two:5432/database';
  const attributes = given.get('target_session_attrs') ?? 'any';
  if (!['any', 'read-write', 'primary'].includes(attributes))
    return 'asks for a standby (target_session_attrs), and both sides are written to; write read-write, or leave it out';
  return undefined;
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
  ['sslmode', ...Object.values(tlsNames)].some((name) => readUrl(address)?.searchParams.has(name));

/** The address with a plan of TLS put in. */
export function withTls(address: string, plan: TlsPlan): string {
  const url = urlOf(address);
  url.searchParams.set('sslmode', 'verify-full');
  for (const [option, name] of Object.entries(tlsNames) as [keyof TlsPlan, string][])
    if (plan[option] !== undefined) url.searchParams.set(name, plan[option]);
  return url.href;
}

/** The address with the files that it names as absolute paths. */
export function withPathsFrom(address: string, base: string): string {
  const url = urlOf(address);
  if (!saysTls(address)) return url.searchParams.has('hosts') ? url.href : address;
  for (const name of [tlsNames.ca, tlsNames.cert, tlsNames.key]) {
    const path = url.searchParams.get(name);
    if (path !== null && path !== 'system') url.searchParams.set(name, resolve(base, path));
  }
  return url.href;
}

export function hasPassword(address: string): boolean {
  const url = readUrl(address);
  return url !== undefined && (url.password !== '' || url.searchParams.has('password'));
}

/** The address with the password put in. */
export function withPassword(address: string, password: string): string {
  const url = urlOf(address);
  // An address of a local socket has no host, and then nowhere to put a password but the query.
  if (url.hostname === '') url.searchParams.set('password', password);
  else url.password = encodeURIComponent(password);
  return url.href;
}

/** The address with each of its secrets as `***`. */
export function redactUrl(address: string): string {
  const url = readUrl(address) ?? URL.parse(address);
  if (!url) return '***';
  if (url.password !== '') url.password = '***';
  for (const name of ['password', 'sslpassword']) if (url.searchParams.has(name)) url.searchParams.set(name, '***');
  const others = url.searchParams.get('hosts');
  if (others === null) return url.href;
  // As it was written.
  url.searchParams.delete('hosts');
  return url.href.replace(/^[^/]*\/\/(?:[^@/]*@)?[^/?#]*/, (head) => `${head},${others}`);
}

/** Equal for two addresses of one database, as far as text can tell. */
export function placeOf(address: string): string {
  const url = urlOf(address);
  const host = url.searchParams.get('host') ?? url.hostname.toLowerCase();
  return `${host}:${url.searchParams.get('port') ?? (url.port || '5432')}${url.pathname}`;
}
