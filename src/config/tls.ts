import { resolve } from 'node:path';
import { z } from 'zod';
import type { TlsPlan } from '../tls.ts';
import { described } from './page.ts';

/** One for each option: pages are kept by schema. */
const path = () => z.string().min(1).optional();

/** That `cert` and `key` go together is asked by `cross-check.ts`. */
export const tls = z.strictObject({
  ca: described(path(), {
    says: 'File with the certificates (PEM) of those authorities that may vouch for the other end.',
    why: 'Without it, the public authorities that Node knows, and those of NODE_EXTRA_CA_CERTS. Files are read anew for each connection: a renewed one needs no restart.',
    right: 'a path, for example ./ca.pem',
    example: './ca.pem',
  }),
  cert: described(path(), {
    says: 'File with our own certificate (PEM), for an other end that asks who we are. It needs `key`.',
    right: 'a path, for example ./changeover.pem',
    example: './changeover.pem',
  }),
  key: described(path(), {
    says: 'File with the key (PEM) of `cert`.',
    why: 'Readable for our user only. One with a passphrase is not read.',
    right: 'a path, for example ./changeover.key',
    example: './changeover.key',
  }),
  server_name: described(z.string().min(1).optional(), {
    says: 'The name that the certificate of the other end must carry, where it is not the host of the address.',
    why: 'For tunnels and addresses by number. There is no option to leave the check of names out.',
    right: 'a name, for example db.example.org',
    example: 'db.example.org',
  }),
});

export const tlsPlanOf = ({ ca, cert, key, server_name: serverName }: z.output<typeof tls>, base: string): TlsPlan => ({
  ...(ca !== undefined && { ca: resolve(base, ca) }),
  ...(cert !== undefined && { cert: resolve(base, cert) }),
  ...(key !== undefined && { key: resolve(base, key) }),
  ...(serverName !== undefined && { serverName }),
});
