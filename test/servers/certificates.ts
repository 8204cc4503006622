import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  /** Paths, PEM. */
  readonly cert: string;
  readonly key: string;
}

/** Certificates of an authority that nobody else knows, in a folder that is gone after dispose. */
export interface Authority extends AsyncDisposable {
  readonly folder: string;
  /** Path of the authority's own certificate. */
  readonly ca: string;
  issue(subject: string, names: readonly string[], expired?: 'expired'): Promise<Certificate>;
  /** Key and certificate in one file, as a Java server reads them. */
  bundle(certificate: Certificate): Promise<string>;
}

export async function openAuthority(): Promise<Authority> {
  const folder = await mkdtemp(join(tmpdir(), 'changeover-authority-'));
  const path = (name: string): string => join(folder, name);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const ca = path('ca.pem');
  openssl('req', '-x509', ...newKey, '-keyout', path('ca.key'), '-out', ca, '-days', '2', '-subj', '/CN=authority');
  let issued = 0;
  return {
    folder,
    ca,
    async issue(subject, names, expired) {
      issued += 1;
      const [cert, key, request, extensions] = ['pem', 'key', 'csr', 'ext'].map((kind) => path(`${issued}.${kind}`));
      assert.ok(cert && key && request && extensions);
      await writeFile(extensions, `subjectAltName=${names.join(',')}\n`);
      openssl('req', ...newKey, '-keyout', key, '-out', request, '-subj', `/CN=${subject}`);
      const by = ['-CA', ca, '-CAkey', path('ca.key'), '-CAcreateserial', '-days', expired ? '-1' : '2'];
      openssl('x509', '-req', '-in', request, ...by, '-extfile', extensions, '-out', cert);
      return { cert, key };
    },
    async bundle({ cert, key }) {
      const file = `${cert}.both`;
      await writeFile(file, (await readFile(key, 'utf8')) + (await readFile(cert, 'utf8')));
      return file;
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

function openssl(...values: readonly string[]): void {
  const done = spawnSync('openssl', values, { encoding: 'utf8' });
  assert.equal(done.status, 0, `openssl ${values[0]}: ${done.stderr}`);
}
