import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { type ConnectionOptions, checkServerIdentity } from 'node:tls';
import { ChangeoverError, type Code } from './error.ts';

/** How a connection is encrypted. Who is at the other end is proved each time: there is no option to leave that out. */
export interface TlsPlan {
  /** Path of the certificates of those authorities that are trusted, instead of the public ones that Node knows. */
  readonly ca?: string;
  /** Paths of our own certificate and its key, for a peer that asks who we are. */
  readonly cert?: string;
  readonly key?: string;
  /** The name that the peer's certificate must carry. Default: the host that we connect to. */
  readonly serverName?: string;
}

/** Texts, PEM. */
export interface TlsOptions extends Pick<ConnectionOptions, 'minVersion'> {
  readonly rejectUnauthorized: true;
  readonly servername?: string;
  readonly checkServerIdentity?: typeof checkServerIdentity;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Reads the files anew each time: certificates that were renewed are used by the next connection. Throws CONFIG_UNREADABLE. */
export async function tlsOptions({ ca, cert, key, serverName }: TlsPlan): Promise<TlsOptions> {
  return {
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...(ca !== undefined && { ca: await textOf(ca) }),
    ...(cert !== undefined && { cert: await textOf(cert) }),
    ...(key !== undefined && { key: await textOf(key) }),
    // Some clients put the host, or localhost, in the place of this name once more, so the name is also checked by ourselves.
    ...(serverName !== undefined && {
      // An address by number is no name that a server could be asked for.
      servername: isIP(serverName) ? '' : serverName,
      checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
    }),
  };
}

/** For a client that connects again by itself: the options read their files anew whenever they are copied, as Node does for each
 *  connection. A file that cannot be read then counts as it was before. Throws CONFIG_UNREADABLE where one cannot be read now. */
export async function lastingTlsOptions(plan: TlsPlan): Promise<TlsOptions> {
  const options = await tlsOptions(plan);
  for (const name of ['ca', 'cert', 'key'] as const) {
    const path = plan[name];
    let text = options[name];
    if (path === undefined) continue;
    const get = (): string | undefined => {
      try {
        text = readFileSync(path, 'utf8');
      } catch {}
      return text;
    };
    Object.defineProperty(options, name, { enumerable: true, get });
  }
  return options;
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new ChangeoverError('CONFIG_UNREADABLE', `${path} cannot be read, and TLS needs it`, { cause });
  }
}

type TlsCode = Extract<Code, `${string}_TLS_REFUSED`>;

interface Fault {
  readonly why: string;
  readonly hint: string;
}

const stranger: Fault = {
  why: 'its certificate comes from an authority that is not trusted here',
  hint: 'Name the certificate of that authority: tls.ca in changeover.yaml, or sslrootcert in the address of a database. If it is no authority of yours, somebody may stand between.',
};
const notNow: Fault = {
  why: 'its certificate is not valid at this time',
  hint: 'Renew the certificate of the server, or set the clock of this machine right.',
};

/** https://nodejs.org/docs/latest-v24.x/api/tls.html#x509-certificate-error-codes */
const faults: Readonly<Record<string, Fault>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: {
    why: 'its certificate is for another host',
    hint: 'Connect by a name that the certificate carries, or say which name it must carry: tls.server_name. If neither is what you expect, somebody may stand between.',
  },
  CERT_HAS_EXPIRED: { ...notNow, why: 'its certificate has expired' },
  CERT_NOT_YET_VALID: { ...notNow, why: 'its certificate is not valid yet' },
  CERT_REVOKED: { ...stranger, why: 'its certificate was revoked' },
  CERT_UNTRUSTED: stranger,
  CERT_REJECTED: stranger,
  CERT_SIGNATURE_FAILURE: stranger,
  CERT_CHAIN_TOO_LONG: stranger,
  INVALID_CA: stranger,
  INVALID_PURPOSE: stranger,
  DEPTH_ZERO_SELF_SIGNED_CERT: stranger,
  SELF_SIGNED_CERT_IN_CHAIN: stranger,
  UNABLE_TO_GET_ISSUER_CERT: stranger,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: stranger,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: stranger,
  ERR_SSL_WRONG_VERSION_NUMBER: {
    why: 'it does not speak TLS there',
    hint: 'Check the port, and that the server has TLS turned on. Nothing was sent in the open.',
  },
};

const handshake: Fault = {
  why: 'the handshake of TLS failed',
  hint: 'Check the files of tls.ca, tls.cert and tls.key. A server that asks for a certificate of ours refuses one of an authority unknown to it, and no certificate at all.',
};

/** What went wrong with TLS, in the words of the closed table. Undefined: TLS is not what failed. */
export function tlsRefusal(code: TlsCode, error: unknown, doing: string): ChangeoverError | undefined {
  const fault = faultOf(error);
  return fault && new ChangeoverError(code, `${doing}: ${fault.why}`, { hint: fault.hint, cause: error });
}

/** Drivers wrap what happened, some of them several times. */
function faultOf(error: unknown): Fault | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const inner = error instanceof AggregateError ? error.errors.map(faultOf).find(Boolean) : undefined;
  return faults[code] ?? (/^ERR_(SSL|OSSL)_/.test(code) ? handshake : undefined) ?? inner ?? faultOf(error.cause);
}

/** Whether what we send to `host` leaves this machine. */
export const isRemote = (host: string): boolean =>
  host !== '' &&
  !host.startsWith('/') &&
  !/^((.*\.)?localhost|\[?::1\]?)$/i.test(host) &&
  !(isIP(host) === 4 && host.startsWith('127.'));
