import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { test } from 'node:test';
import { openKeyFile } from '../../src/broker/seal/key-file.ts';
import { openKeyList } from '../../src/broker/seal/key-list.ts';
import { openVaultRing } from '../../src/broker/seal/vault.ts';
import { ChangeoverError, type Code } from '../../src/error.ts';
import { temporaryFolder } from './folder.ts';

const timeout = 60_000;
const dataKey = randomBytes(32);
const rejects = (promise: Promise<unknown>, code: Code, says = /./): Promise<void> =>
  assert.rejects(
    promise,
    (error) => error instanceof ChangeoverError && error.code === code && says.test(error.message),
  );

test('a key file is made and grows by rotation, for its owner alone, and every key that ever sealed still opens', {
  timeout,
}, async ({ signal }) => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'shop.keys');
  const ring = openKeyFile(path);
  await rejects(ring.wrap(dataKey, signal), 'BROKER_KEY_UNREACHABLE', /ENOENT/);
  const names = [await ring.rotate?.(signal)];
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const wrapped = [await ring.wrap(dataKey, signal)];
  names.push(await ring.rotate?.(signal));
  wrapped.push(await ring.wrap(dataKey, signal));
  assert.deepEqual(
    wrapped.map(({ key }) => key),
    names,
  );
  for (const one of wrapped) assert.deepEqual(await openKeyFile(path).unwrap(one, signal), dataKey);
  // A key that a person adds, with a comment and Windows' line ends.
  await appendFile(path, `\r\n${'AB'.repeat(32)} # by hand\r\n`);
  const keys = await ring.keys(signal);
  assert.deepEqual(
    keys.map(({ seals }) => seals),
    [false, false, true],
  );
  assert.equal((await ring.wrap(dataKey, signal)).key, keys[2]?.name);
  await rm(path);
  await rejects(ring.unwrap(wrapped[0] ?? assert.fail(), signal), 'BROKER_KEY_UNREACHABLE');
});

test('a rotation that was cut short is told, and spoils nothing', { timeout }, async ({ signal }) => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'shop.keys');
  const ring = openKeyFile(path);
  await ring.rotate?.(signal);
  const before = await readFile(path, 'utf8');
  await writeFile(`${path}.new`, before.slice(0, -20));
  await assert.rejects(ring.rotate?.(signal) ?? Promise.resolve(), /shop.keys.new cannot be written \(EEXIST\)/);
  assert.equal(await readFile(path, 'utf8'), before);
});

test('what is no key is named by its line, and never shown', { timeout }, async ({ signal }) => {
  const ring = openKeyList({ name: 'list', read: async () => `${'ab'.repeat(32)}\n# all right\nGeheim` });
  for (const asking of [ring.wrap(dataKey, signal), ring.keys(signal)])
    await assert.rejects(asking, (error) => {
      assert.ok(error instanceof ChangeoverError && error.code === 'CONFIG_INVALID');
      assert.match(error.message, /^Line 3 of the list is no key$/);
      assert.doesNotMatch(`${error.message}${error.hint}`, /Geheim/);
      return true;
    });
  await rejects(openKeyList({ name: 'list', read: async () => '# none' }).wrap(dataKey, signal), 'BROKER_KEY_MISSING');
});

test('a data key that was altered, or wrapped by another key under the same name, does not come out', {
  timeout,
}, async ({ signal }) => {
  const ring = openKeyList({ name: 'list', read: async () => 'ab'.repeat(32) });
  const wrapped = await ring.wrap(dataKey, signal);
  for (let at = 0; at < wrapped.bytes.length; at += 1) {
    const bytes = Buffer.from(wrapped.bytes);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 0x80, at);
    await rejects(ring.unwrap({ ...wrapped, bytes }, signal), 'BROKER_TAMPERED');
  }
  await rejects(ring.unwrap({ ...wrapped, bytes: wrapped.bytes.subarray(1) }, signal), 'BROKER_TAMPERED');
  const other = openKeyList({ name: 'list', read: async () => 'cd'.repeat(32) });
  await rejects(other.unwrap(wrapped, signal), 'BROKER_KEY_MISSING');
});

/** A server that answers as Vault's transit engine is documented to: https://developer.hashicorp.com/vault/api-docs/secret/transit */
async function transit(token: string) {
  const versions = [randomBytes(32)];
  const state = { sealed: false, asked: [] as string[] };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const say = (status: number, body?: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(body && JSON.stringify(body));
    };
    state.asked.push(`${request.method} ${request.url}`);
    const body = request.method === 'POST' ? ((await json(request)) as Record<string, string>) : {};
    if (state.sealed) return say(503, { errors: ['Vault is sealed'] });
    if (request.headers['x-vault-token'] !== token) return say(403, { errors: ['permission denied'] });
    switch (`${request.method} ${request.url}`) {
      case 'POST /v1/transit/encrypt/shop': {
        const nonce = randomBytes(12);
        const cipher = createCipheriv('aes-256-gcm', versions.at(-1) ?? '', nonce);
        const sealed = [nonce, cipher.update(Buffer.from(body['plaintext'] ?? '', 'base64')), cipher.final()];
        const text = Buffer.concat([...sealed, cipher.getAuthTag()]).toString('base64');
        return say(200, { data: { ciphertext: `vault:v${versions.length}:${text}`, key_version: versions.length } });
      }
      case 'POST /v1/transit/decrypt/shop': {
        const [, version, text] = /^vault:v(\d+):(.*)$/.exec(body['ciphertext'] ?? '') ?? [];
        const bytes = Buffer.from(text ?? '', 'base64');
        try {
          const decipher = createDecipheriv('aes-256-gcm', versions[Number(version) - 1] ?? '', bytes.subarray(0, 12));
          decipher.setAuthTag(bytes.subarray(-16));
          const plain = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
          return say(200, { data: { plaintext: plain.toString('base64') } });
        } catch {
          return say(400, { errors: ['invalid ciphertext: unable to decrypt'] });
        }
      }
      case 'POST /v1/transit/keys/shop/rotate':
        versions.push(randomBytes(32));
        return say(204);
      case 'GET /v1/transit/keys/shop':
        return say(200, {
          data: {
            latest_version: versions.length,
            min_decryption_version: 1,
            keys: Object.fromEntries(versions.map((_, index) => [index + 1, 1442851412])),
          },
        });
      default:
        return say(404, { errors: [] });
    }
  };
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = server.address();
  assert.ok(at !== null && typeof at === 'object');
  return {
    address: `http://127.0.0.1:${at.port}`,
    state,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      if (server.listening) await once(server, 'close');
    },
  };
}

test('a Vault wraps, unwraps, lists and rotates, as its interface is documented', { timeout }, async ({ signal }) => {
  await using vault = await transit('t1');
  const place = { address: vault.address, mount: 'transit', key: 'shop', token: 't1', namespace: undefined };
  const ring = openVaultRing(place);
  const wrapped = await ring.wrap(dataKey, signal);
  assert.equal(wrapped.key, 'v1');
  assert.ok(!wrapped.bytes.includes(dataKey));
  assert.equal(await ring.rotate?.(signal), 'v2');
  assert.deepEqual(await ring.keys(signal), [
    { name: 'v1', seals: false },
    { name: 'v2', seals: true },
  ]);
  assert.equal((await ring.wrap(dataKey, signal)).key, 'v2');
  assert.deepEqual(await ring.unwrap(wrapped, signal), dataKey);
  const bytes = Buffer.from(wrapped.bytes.toString().replace(/.....$/, 'AAAA='));
  await rejects(ring.unwrap({ ...wrapped, bytes }, signal), 'BROKER_KEY_REFUSED', /400: invalid ciphertext/);
});

test('a Vault that does not let us in, is sealed, or is away says so, and a way elsewhere is not gone', {
  timeout,
}, async ({ signal }) => {
  await using vault = await transit('t1');
  const place = { address: vault.address, mount: 'transit', key: 'shop', token: 't1', namespace: undefined };
  await rejects(
    openVaultRing({ ...place, token: 'stolen' }).wrap(dataKey, signal),
    'BROKER_KEY_REFUSED',
    /403: permission denied/,
  );
  await rejects(openVaultRing({ ...place, key: 'other' }).wrap(dataKey, signal), 'BROKER_KEY_REFUSED', /404/);
  vault.state.sealed = true;
  await rejects(openVaultRing(place).wrap(dataKey, signal), 'BROKER_KEY_UNREACHABLE', /503: Vault is sealed/);
  const before = vault.state.asked.length;
  const elsewhere = createServer((_, response) =>
    response.writeHead(307, { location: `${vault.address}/v1/transit/encrypt/shop` }).end(),
  );
  elsewhere.listen(0, '127.0.0.1');
  await once(elsewhere, 'listening');
  const at = elsewhere.address();
  assert.ok(at !== null && typeof at === 'object');
  const sent = openVaultRing({ ...place, address: `http://127.0.0.1:${at.port}` });
  await rejects(sent.wrap(dataKey, signal), 'BROKER_KEY_UNREACHABLE');
  assert.equal(vault.state.asked.length, before, 'the token went elsewhere');
  elsewhere.closeAllConnections();
  elsewhere.close();
  await once(elsewhere, 'close');
  await rejects(sent.wrap(dataKey, signal), 'BROKER_KEY_UNREACHABLE', /does not answer/);
  const left = new AbortController();
  left.abort();
  await assert.rejects(openVaultRing(place).wrap(dataKey, left.signal), { name: 'AbortError' });
});
