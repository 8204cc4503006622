import { ChangeoverError } from '../../error.ts';
import type { Finding } from '../../finding.ts';
import type { KeyRing, RingKey, WrappedKey } from '../key-ring.ts';

/* Keys that never leave a HashiCorp Vault: its transit engine wraps and unwraps.
   https://developer.hashicorp.com/vault/api-docs/secret/transit */

export interface VaultPlace {
  /** `https://vault:8200` */
  readonly address: string;
  /** Where the engine is mounted. */
  readonly mount: string;
  /** Name of the key there. */
  readonly key: string;
  readonly token: string;
  readonly namespace: string | undefined;
}

/** Vault itself gives up after 90 s; whoever waits for a data key holds a lane up. */
const answerMsMax = 10_000;

export function openVaultRing(place: VaultPlace): KeyRing {
  const { address, mount, key } = place;
  const name = `key ${key} of the Vault at ${address}`;
  const transit = (method: 'GET' | 'POST', action: string, body: object | undefined, signal: AbortSignal) =>
    asked({ place, method, path: `${mount}/${action}`, body }, signal);
  const path = encodeURIComponent(key);
  return {
    name,
    async wrap(dataKey: Buffer, signal: AbortSignal): Promise<WrappedKey> {
      const found = await transit('POST', `encrypt/${path}`, { plaintext: dataKey.toString('base64') }, signal);
      const ciphertext = textIn(found, 'ciphertext');
      const version = /^vault:(v\d+):/.exec(ciphertext)?.[1];
      if (version === undefined) throw strange(place, 'a ciphertext without its version');
      return { key: version, bytes: Buffer.from(ciphertext) };
    },
    async unwrap({ bytes }: WrappedKey, signal: AbortSignal): Promise<Buffer> {
      const found = await transit('POST', `decrypt/${path}`, { ciphertext: bytes.toString() }, signal);
      return Buffer.from(textIn(found, 'plaintext'), 'base64');
    },
    async check(): Promise<readonly Finding[]> {
      const { protocol, hostname } = new URL(address);
      if (protocol === 'https:' || loopback.test(hostname)) return [];
      return [
        {
          severity: 'warning',
          check: 'seal-vault-tls',
          site: 'broker',
          message: `The token and the data keys go to the Vault at ${address} in the clear`,
          cure: `# changeover.yaml\nbroker: { seal: { vault: { address: "${address.replace(/^http:/, 'https:')}" } } }`,
        },
      ];
    },
    async keys(signal: AbortSignal): Promise<readonly RingKey[]> {
      const found = await transit('GET', `keys/${path}`, undefined, signal);
      const latest = found['latest_version'];
      const versions = Object.keys(typeof found['keys'] === 'object' && found['keys'] ? found['keys'] : {});
      return versions
        .map(Number)
        .toSorted((a, b) => a - b)
        .map((version) => ({ name: `v${version}`, seals: version === latest }));
    },
    async rotate(signal: AbortSignal): Promise<string> {
      await transit('POST', `keys/${path}/rotate`, {}, signal);
      return `v${String((await transit('GET', `keys/${path}`, undefined, signal))['latest_version'])}`;
    },
  };
}

const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

interface Asking {
  readonly place: VaultPlace;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body: object | undefined;
}

type Found = Readonly<Record<string, unknown>>;

/** What stands under `data` in the answer. Throws BROKER_KEY_UNREACHABLE, BROKER_KEY_REFUSED; the reason of `signal`. */
async function asked({ place, method, path, body }: Asking, signal: AbortSignal): Promise<Found> {
  const { address, token, namespace } = place;
  let answer: Response;
  let text: string;
  try {
    answer = await fetch(new URL(`/v1/${path}`, address), {
      method,
      headers: { 'x-vault-token': token, ...(namespace !== undefined && { 'x-vault-namespace': namespace }) },
      ...(body && { body: JSON.stringify(body) }),
      // The token goes where it was told to go, and nowhere else.
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMsMax)]),
    });
    text = await answer.text();
  } catch (cause) {
    signal.throwIfAborted();
    throw new ChangeoverError('BROKER_KEY_UNREACHABLE', `the Vault at ${address} does not answer`, { cause });
  }
  if (!answer.ok) throw refusal(place, answer.status, errorsIn(text));
  if (text === '') return {};
  const data: unknown = parsed(text)?.['data'];
  if (typeof data === 'object' && data !== null) return data as Found;
  throw strange(place, 'no data');
}

/** Vault gives its reasons as text alone, so that one code stands for all that a person must look into: a token, a policy, a version of
 *  the key that was retired, a ciphertext that it does not know. */
function refusal({ address }: VaultPlace, status: number, why: string): ChangeoverError {
  // 412: a standby that is not up to date yet; 429, 472, 473: a standby; 503: sealed, or in maintenance.
  const isAway = status >= 500 || [412, 429, 472, 473].includes(status);
  const said = `the Vault at ${address} says ${status}${why === '' ? '' : `: ${why}`}`;
  return new ChangeoverError(isAway ? 'BROKER_KEY_UNREACHABLE' : 'BROKER_KEY_REFUSED', said);
}

const errorsIn = (text: string): string => {
  const errors = parsed(text)?.['errors'];
  return Array.isArray(errors) ? errors.join('; ').trim() : '';
};

function parsed(text: string): Found | undefined {
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === 'object' && found !== null ? (found as Found) : undefined;
  } catch {
    return undefined;
  }
}

function textIn(found: Found, name: string): string {
  const text = found[name];
  return typeof text === 'string' ? text : '';
}

const strange = ({ address }: VaultPlace, what: string): ChangeoverError =>
  new ChangeoverError('BROKER_KEY_UNREACHABLE', `the Vault at ${address} gave ${what}`);
