import { z } from 'zod';
import { described } from './page.ts';

const vault = z.strictObject({
  address: described(
    z.string().refine((text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ''), {
      error: 'is no address of a Vault; write https://host:8200',
    }),
    {
      says: 'Address of the Vault.',
      why: 'An authority of your own is trusted when NODE_EXTRA_CA_CERTS names its certificate.',
      right: 'an address like https://vault:8200',
      example: 'https://vault:8200',
      required: true,
    },
  ),
  key: described(z.string().min(1), {
    says: 'Name of the key in the transit engine, of a type that encrypts, for example aes256-gcm96.',
    why: 'Its policy needs update on transit/encrypt/NAME and transit/decrypt/NAME; for `changeover keys`, read on transit/keys/NAME and update on transit/keys/NAME/rotate.',
    right: 'the name of a key',
    example: 'changeover',
    required: true,
  }),
  token: described(z.string().min(1), {
    says: 'The token that we come with. It must live as long as we run: renew it there, or give us a periodic one.',
    right: '"${NAME}" or { file: ./path }',
    example: '"${VAULT_TOKEN}"',
    required: true,
    secret: true,
  }),
  mount: described(z.string().min(1).prefault('transit'), {
    says: 'Where the transit engine is mounted.',
    right: 'a path, for example transit',
    example: 'transit',
    default: 'transit',
  }),
  namespace: described(z.string().min(1).optional(), {
    says: 'The namespace, where the Vault has some.',
    right: 'a path, for example admin/shop',
    example: 'admin/shop',
  }),
});

/** Where the keys are. Exactly one of its options is given: `cross-check.ts`. */
export const seal = z.strictObject({
  key_file: described(z.string().min(1).optional(), {
    says: 'A file with a key on each line: the last one seals, all of them open. `changeover keys rotate` makes it, and adds keys to it.',
    why: 'It is read again for every new data key, so a key added to it is used within ten minutes, and nothing is restarted. Keep it away from whoever runs the broker, and keep a copy: without it nobody reads the stream.',
    right: 'a path, for example ./changeover.keys',
    example: './changeover.keys',
  }),
  keys: described(z.string().min(1).optional(), {
    says: 'The keys themselves, with spaces between them: each 64 hexadecimal digits, the last one seals.',
    why: 'For platforms that hand secrets over in the environment. A new key is there once every process was started anew with it, one after the other.',
    right: '"${NAME}", with keys made by openssl rand -hex 32',
    example: '"${CHANGEOVER_KEYS}"',
    secret: true,
  }),
  vault: described(vault.optional(), {
    says: 'A key in the transit engine of a HashiCorp Vault: it never leaves there.',
    why: 'It is asked for a data key every ten minutes. While it is away, who writes goes on, and who reads waits only for data keys it has not met yet.',
    right: 'a mapping like { address: "https://vault:8200", key: changeover, token: "${VAULT_TOKEN}" }',
    example: '{ address: "https://vault:8200", key: changeover, token: "${VAULT_TOKEN}" }',
  }),
});
