import { ChangeoverError } from '../../error.ts';
import type { Finding } from '../../finding.ts';
import { isRemote } from '../../tls.ts';
import { encryptionOf } from './encryption.ts';
import { failure, type Side, sqlState } from './failure.ts';
import { quoteIdentifier, quoteLiteral } from './identifier.ts';
import { serversOf } from './servers.ts';

/** A finding before it knows its site. */
export type Found = Omit<Finding, 'site'>;

export const restartHint = '-- Then restart the server, for example: systemctl restart postgresql';

/** What a connection that could not be opened means for the operator: a finding, not a crash. */
export function refusedFinding(side: Side, url: string, error: unknown): Found {
  const { code, message, hint } = error instanceof ChangeoverError ? error : failure(side, error, 'Connecting');
  const { user, database } = loginOf(url);
  const found = (check: string, cure: string): Found => ({ severity: 'blocker', check, message, cure, code });
  const admission = `-- pg_hba.conf of that server; then: SELECT pg_reload_conf();
-- host  ${database}  ${user}  <address of this machine>/32  scram-sha-256`;
  if (code === `${side}_TLS_REFUSED` || code === 'CONFIG_UNREADABLE') return found('tls', `-- ${hint}`);
  switch (sqlState(error)) {
    case undefined:
      return found(
        'reachable',
        `-- postgresql.conf of that server: listen_addresses = '*'\n${restartHint}\n${admission}`,
      );
    case '28P01':
    case '28000':
      return found('login', `${loginCure(user)}\n-- If it still fails, a line is missing in\n${admission}`);
    case '3D000':
      return found('login', `CREATE DATABASE ${quoteIdentifier(database)} TEMPLATE template0 ENCODING 'UTF8';`);
    case '42501':
      return found('login', `GRANT CONNECT ON DATABASE ${quoteIdentifier(database)} TO ${quoteIdentifier(user)};`);
    case '53300':
      return found(
        'connections',
        `ALTER ROLE ${quoteIdentifier(user)} CONNECTION LIMIT -1;
ALTER DATABASE ${quoteIdentifier(database)} CONNECTION LIMIT -1;
-- or, when the whole server is full: ALTER SYSTEM SET max_connections = ...; and restart it`,
      );
    default:
      return found('reachable', `-- ${hint}`);
  }
}

/** A network that somebody else can listen to is found before it is used. */
export function openFindings(url: string): readonly Found[] {
  const hosts = serversOf(url).addresses.map(encryptionOf);
  const host = hosts.find((one) => !one.tls && isRemote(one.host))?.host;
  if (host === undefined) return [];
  return [
    {
      severity: 'warning',
      check: 'tls',
      message: 'Rows pass between here and this server in the open: whoever is on the way can read and change them',
      cure: `-- postgresql.conf of that server: ssl = on, with a certificate that carries the name ${host}
-- changeover.yaml, at this site: tls: { ca: ./ca.pem }
-- or in its address: ?sslmode=verify-full&sslrootcert=./ca.pem`,
    },
  ];
}

/** Works whether or not the role exists: a server does not tell a stranger which of the two is wrong. */
const loginCure = (user: string): string =>
  `DO $$ BEGIN CREATE ROLE ${quoteIdentifier(user)}; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
ALTER ROLE ${quoteIdentifier(user)} LOGIN PASSWORD '<the password that Changeover is given>';`;

function loginOf(url: string): { user: string; database: string } {
  if (!URL.canParse(url)) return { user: '<user>', database: '<database>' };
  const { username, pathname } = new URL(url);
  const user = decodeURIComponent(username) || '<user>';
  return { user, database: decodeURIComponent(pathname.slice(1)) || user };
}

/** The majors that Changeover is tested with. */
export const majors = { first: 14, last: 18 } as const;

/** `version`: as PostgreSQL numbers it, 180004. */
export function versionFindings(side: Side, version: number): readonly Found[] {
  const major = Math.trunc(version / 10_000);
  const tested = `PostgreSQL ${majors.first} to ${majors.last}`;
  if (major < majors.first)
    return [
      {
        severity: 'blocker',
        check: 'version',
        message: `PostgreSQL ${major} is older than what Changeover works with: ${tested}`,
        cure: `-- Upgrade the server to ${tested}: https://www.postgresql.org/docs/current/upgrading.html`,
        code: `${side}_UNSUITABLE`,
      },
    ];
  if (major > majors.last)
    return [
      {
        severity: 'warning',
        check: 'version',
        message: `PostgreSQL ${major} is newer than what this Changeover was tested with: ${tested}`,
        cure: '-- Upgrade Changeover, or rehearse with a copy first',
      },
    ];
  return [];
}

const clockMsMax = 1000;

/** Nothing depends on clocks (invariant 16), but lags in milliseconds are printed by them. */
export function clockFindings(serverMs: number, ownMs: number): readonly Found[] {
  const ahead = Math.round(serverMs - ownMs);
  if (Math.abs(ahead) < clockMsMax) return [];
  const message = `Its clock is ${Math.abs(ahead)} ms ${ahead > 0 ? 'ahead of' : 'behind'} this machine's: lags in time are shown wrong by that`;
  return [{ severity: 'note', check: 'clock', message }];
}

/** A comma-separated list for a sentence, cut where nobody would read on. The cure always names all. */
export function some(names: readonly string[], most = 8): string {
  const shown = names.slice(0, most).join(', ');
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

/** Sets in the server's own configuration file; `reload` or `restart` says when it takes hold. */
export const alterSystem = (name: string, value: string, then: 'reload' | 'restart'): string =>
  `ALTER SYSTEM SET ${name} = ${quoteLiteral(value)};\n${then === 'reload' ? 'SELECT pg_reload_conf();' : restartHint}`;

export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10));
  return `${Math.round((bytes / 1024 ** power) * 10) / 10} ${units[power]}`;
}
