import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { ChangeoverError } from '../../error.ts';
import type { KeyRing, RingKey, WrappedKey } from '../key-ring.ts';
import { keyBytes } from './data-keys.ts';
import { tagBytes } from './envelope.ts';

/* A key ring as text: 64 hexadecimal digits for each key, as `openssl rand -hex 32` makes them, with white space between them, and
   comments from # to the end of the line. The last key seals; all of them open. */

const nonceBytes = 12;

export interface KeyListOptions {
  /** For people: `key file /etc/changeover.keys`. Never a key. */
  readonly name: string;
  /** The text, asked anew each time, so that a key that was added is there at once. */
  readonly read: () => Promise<string>;
  /** Adds a key to the text. */
  readonly add?: (key: string) => Promise<void>;
}

interface NamedKey {
  readonly name: string;
  readonly key: Buffer;
}

export function openKeyList({ name, read, add }: KeyListOptions): KeyRing {
  const keysNow = async (): Promise<readonly NamedKey[]> => parseKeys(await read(), name);
  return {
    name,
    async wrap(dataKey: Buffer): Promise<WrappedKey> {
      const sealing = (await keysNow()).at(-1);
      if (!sealing) throw new ChangeoverError('BROKER_KEY_MISSING', `The ${name} holds no key`, { hint: firstKeyHint });
      return { key: sealing.name, bytes: wrapped(sealing, dataKey) };
    },
    async unwrap({ key, bytes }: WrappedKey): Promise<Buffer> {
      const held = (await keysNow()).find((one) => one.name === key);
      if (!held) throw new ChangeoverError('BROKER_KEY_MISSING', `The ${name} lacks key ${key}`);
      return unwrapped(held, bytes);
    },
    async keys(): Promise<readonly RingKey[]> {
      const keys = await keysNow();
      return keys.map((one, index) => ({ name: one.name, seals: index === keys.length - 1 }));
    },
    check: async () => [],
    rotate:
      add &&
      (async () => {
        const key = randomBytes(keyBytes);
        await add(key.toString('hex'));
        return nameOf(key);
      }),
  };
}

const firstKeyHint = 'Make the first one: changeover keys rotate.';

/** Throws CONFIG_INVALID; the message tells where, never what. */
function parseKeys(text: string, name: string): readonly NamedKey[] {
  return text.split('\n').flatMap((line, index) =>
    line
      .replace(/#.*/, '')
      .split(/\s+/)
      .filter((word) => word !== '')
      .map((word) => {
        if (!/^[0-9a-f]{64}$/i.test(word))
          throw new ChangeoverError('CONFIG_INVALID', `Line ${index + 1} of the ${name} is no key`, {
            hint: 'A key is 64 hexadecimal digits: openssl rand -hex 32. A comment begins with #.',
          });
        const key = Buffer.from(word, 'hex');
        return { name: nameOf(key), key };
      }),
  );
}

/** Told in the open: it shows whether two keys are the same, and nothing else of them. */
const nameOf = (key: Buffer): string =>
  createHash('sha256').update('changeover key ').update(key).digest('hex').slice(0, 12);

function wrapped({ name, key }: NamedKey, dataKey: Buffer): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(name));
  return Buffer.concat([nonce, cipher.update(dataKey), cipher.final(), cipher.getAuthTag()]);
}

function unwrapped({ name, key }: NamedKey, bytes: Buffer): Buffer {
  if (bytes.length !== nonceBytes + keyBytes + tagBytes) throw notWrapped(name);
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(name));
  decipher.setAuthTag(bytes.subarray(-tagBytes));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]);
  } catch (cause) {
    throw notWrapped(name, cause);
  }
}

const notWrapped = (name: string, cause?: unknown): ChangeoverError =>
  new ChangeoverError('BROKER_TAMPERED', `its data key was not wrapped by key ${name}`, { cause });
