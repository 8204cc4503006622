import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { BrokerReader, Entry } from '../../src/broker/broker.ts';
import type { KeyRing } from '../../src/broker/key-ring.ts';
import { type MemoryBroker, openMemoryBroker } from '../../src/broker/memory/memory.ts';
import { sealFindings, unsealedFindings } from '../../src/broker/seal/check.ts';
import { OpeningKeys } from '../../src/broker/seal/data-keys.ts';
import { decodeEnvelope } from '../../src/broker/seal/envelope.ts';
import { openKeyFile } from '../../src/broker/seal/key-file.ts';
import { Opener } from '../../src/broker/seal/open.ts';
import { openPlainBroker, openPlainReader } from '../../src/broker/seal/plain.ts';
import { openSealedReader } from '../../src/broker/seal/reader.ts';
import { openVaultRing } from '../../src/broker/seal/vault.ts';
import { openSealedBroker } from '../../src/broker/seal/writer.ts';
import { offset } from '../../src/change/position.ts';
import { envelopeOf } from '../../src/change/sealed.ts';
import { ChangeoverError, type Code, isCode } from '../../src/error.ts';
import { take } from '../conformance/broker.ts';
import { first, piece, position, whole, wholes } from './batches.ts';
import { temporaryFolder } from './folder.ts';
import { memoryRing } from './keys.ts';

const rejects = (promise: Promise<unknown>, code: Code, says = /./): Promise<void> =>
  assert.rejects(
    promise,
    (error) => error instanceof ChangeoverError && error.code === code && says.test(error.message),
  );

suite('sealing', { timeout: 60_000 }, () => {
  const writerOn = (memory: MemoryBroker, ring: KeyRing, signal: AbortSignal, renewEveryMs?: number) =>
    openSealedBroker(
      {
        broker: memory.openWriter(),
        openReader: async () => memory.openReader(),
        ring,
        ...(renewEveryMs !== undefined && { renewEveryMs }),
      },
      signal,
    );
  const readerOn = (memory: MemoryBroker, ring: KeyRing): BrokerReader => openSealedReader(memory.openReader(), ring);
  const held = async (memory: MemoryBroker, count: number, signal: AbortSignal): Promise<readonly Entry[]> => {
    await using raw = memory.openReader();
    return await take(raw, 0, count, signal);
  };
  const keysIn = (entries: readonly Entry[]): readonly string[] =>
    entries.map(({ batch }) => decodeEnvelope(envelopeOf(batch) ?? Buffer.alloc(0)).head.wrapped.key);

  test('a rotated ring seals with its new key while writer and readers go on, and still opens what is older', async ({
    signal,
  }) => {
    const memory = openMemoryBroker();
    const ring = memoryRing();
    await using writer = await writerOn(memory, ring, signal, 0);
    await using reader = readerOn(memory, ring);
    const entries = reader.read(offset(0), signal)[Symbol.asyncIterator]();
    await writer.append(first, whole(1));
    assert.deepEqual((await entries.next()).value?.batch, whole(1));
    const added = await ring.rotate?.(signal);
    await writer.append(first, whole(2));
    assert.deepEqual((await entries.next()).value?.batch, whole(2));
    await entries.return?.();
    const [old] = await ring.keys(signal);
    assert.deepEqual(keysIn(await held(memory, 2, signal)), [old?.name, added]);
    assert.deepEqual(
      (await ring.keys(signal)).map(({ seals }) => seals),
      [false, true],
    );
    // Only the new key: what is behind the rotation opens, what is before it does not.
    const half = memoryRing(ring.text.split('\n').at(-1));
    await using later = readerOn(memory, half);
    assert.deepEqual((await take(later, 1, 1, signal))[0]?.batch, whole(2));
    await rejects(take(later, 0, 1, signal), 'BROKER_KEY_MISSING', new RegExp(`^Entry 0 .*lacks key ${old?.name}`));
  });

  test('an envelope of version 1 opens', async ({ signal }) => {
    const envelope = await readFile(new URL('../golden/seal-1/envelope', import.meta.url));
    const opener = new Opener('a stream', new OpeningKeys(memoryRing('ab'.repeat(32))));
    const sealed = { ...whole(3, 700), changes: [{ kind: 'sealed', envelope } as const] };
    assert.deepEqual(
      (await opener.open({ offset: offset(2), epoch: first, batch: sealed }, signal)).batch,
      whole(3, 700),
    );
  });

  test('a data key seals many entries, never two with the same count, and a writer brings its own', async ({
    signal,
  }) => {
    const memory = openMemoryBroker();
    const ring = memoryRing();
    for (const from of [1, 4]) {
      await using writer = await writerOn(memory, ring, signal);
      for (const batch of wholes(3, from)) await writer.append(first, batch);
    }
    const heads = (await held(memory, 6, signal)).map(
      ({ batch }) => decodeEnvelope(envelopeOf(batch) ?? Buffer.alloc(0)).head,
    );
    assert.equal(new Set(heads.map(({ wrapped }) => wrapped.bytes.toString('hex'))).size, 2);
    assert.equal(new Set(heads.map(({ wrapped, count }) => `${wrapped.bytes.toString('hex')} ${count}`)).size, 6);
  });

  test('a ring that is away stops who has no data key, and nobody who has one', async ({ signal }) => {
    const memory = openMemoryBroker();
    const ring = memoryRing();
    let isAway = true;
    const failing: KeyRing = {
      ...ring,
      async wrap(dataKey, inner) {
        if (isAway) throw new ChangeoverError('BROKER_KEY_UNREACHABLE', 'away');
        return ring.wrap(dataKey, inner);
      },
    };
    await rejects(writerOn(memory, failing, signal), 'BROKER_KEY_UNREACHABLE');
    isAway = false;
    await using writer = await writerOn(memory, failing, signal, 0);
    isAway = true;
    for (const batch of wholes(3)) await writer.append(first, batch);
    await using reader = readerOn(memory, ring);
    assert.equal((await take(reader, 0, 3, signal)).length, 3);
  });

  test('a batch that could not be appended leaves no trace in what follows', async ({ signal }) => {
    const memory = openMemoryBroker();
    const ring = memoryRing();
    const broker = memory.openWriter();
    let failures = 1;
    const failing = {
      ...broker,
      async append(...given: Parameters<typeof broker.append>) {
        failures -= 1;
        if (failures >= 0) throw new ChangeoverError('BROKER_DISK_FULL', 'full');
        return broker.append(...given);
      },
    };
    await using writer = await openSealedBroker(
      { broker: failing, openReader: async () => memory.openReader(), ring },
      signal,
    );
    await rejects(writer.append(first, whole(1)), 'BROKER_DISK_FULL');
    assert.equal(await writer.append(first, whole(1, 50)), 0);
    assert.equal(await writer.append(first, whole(2)), 1);
    await using reader = readerOn(memory, ring);
    assert.deepEqual((await take(reader, 0, 2, signal))[0]?.batch, whole(1, 50));
  });

  test('where capture resumes is what the last entry proves, not what the broker says', async ({ signal }) => {
    const memory = openMemoryBroker();
    const ring = memoryRing();
    {
      await using writer = await writerOn(memory, ring, signal);
      await writer.append(first, whole(1));
      await writer.append(first, piece(2, 'starts'));
    }
    const lying = memory.openWriter();
    lying.tail = async () => position(77);
    await using writer = await openSealedBroker(
      { broker: lying, openReader: async () => memory.openReader(), ring },
      signal,
    );
    assert.deepEqual(await writer.tail(), position(1));
  });

  test('a writer does not go on behind an entry that is not as it was sealed, nor where none is left', async ({
    signal,
  }) => {
    const memory = openMemoryBroker();
    const ring = memoryRing();
    {
      await using writer = await writerOn(memory, ring, signal);
      await writer.append(first, whole(1));
    }
    const gone = memory.copy();
    const [entry] = await held(memory, 1, signal);
    assert.ok(entry);
    {
      // What the broker's operator puts behind it: the same entry again.
      await using forger = memory.openWriter();
      await forger.append(first, entry.batch);
    }
    await rejects(writerOn(memory, ring, signal), 'BROKER_TAMPERED', /^Entry 1 .*played again/);
    await using reader = gone.openReader();
    await reader.release('it', offset(1));
    await rejects(writerOn(gone, ring, signal), 'BROKER_GAP');
  });

  test('a sealed stream is not taken for a plain one, by who writes and who reads without a key', async ({
    signal,
  }) => {
    const memory = openMemoryBroker();
    {
      await using writer = await writerOn(memory, memoryRing(), signal);
      await writer.append(first, whole(1));
    }
    const opening = openPlainBroker(memory.openWriter(), async () => memory.openReader(), signal);
    await rejects(opening, 'BROKER_SEALED', /^Entry 0 /);
    await using reader = openPlainReader(memory.openReader());
    await rejects(take(reader, 0, 1, signal), 'BROKER_SEALED', /^Entry 0 /);
  });

  test('a plain stream is not taken for a sealed one', async ({ signal }) => {
    const memory = openMemoryBroker();
    const ring = memoryRing();
    {
      await using writer = await openPlainBroker(memory.openWriter(), async () => memory.openReader(), signal);
      await writer.append(first, whole(1));
      await using reader = openPlainReader(memory.openReader());
      assert.deepEqual((await take(reader, 0, 1, signal))[0]?.batch, whole(1));
    }
    await rejects(writerOn(memory, ring, signal), 'BROKER_NOT_SEALED');
    await using reader = readerOn(memory, ring);
    await assert.rejects(take(reader, 0, 1, signal), (error) => isCode(error, 'BROKER_NOT_SEALED'));
  });
});

test('check finds a ring that does not give back what it wrapped, one that others can read, and a broker without a seal', {
  timeout: 60_000,
}, async ({ signal }) => {
  const ring = memoryRing();
  const found = async (one: KeyRing) =>
    (await sealFindings(one, signal)).map(({ severity, check, code }) => [severity, check, code]);
  assert.deepEqual(await found(ring), []);
  const other = memoryRing();
  const blocker = (code: Code) => [['blocker', 'seal-keys', code]];
  assert.deepEqual(
    await found({ ...ring, unwrap: (wrapped) => other.unwrap(wrapped, signal) }),
    blocker('BROKER_KEY_MISSING'),
  );
  assert.deepEqual(await found({ ...ring, unwrap: async () => Buffer.alloc(32) }), blocker('BROKER_KEY_REFUSED'));
  assert.deepEqual(await found(openKeyFile('/nowhere/shop.keys')), blocker('BROKER_KEY_UNREACHABLE'));
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'shop.keys');
  await writeFile(path, 'ab'.repeat(32), { mode: 0o640 });
  assert.deepEqual(await found(openKeyFile(path)), [['warning', 'seal-key-file', undefined]]);
  await chmod(path, 0o400);
  assert.deepEqual(await found(openKeyFile(path)), []);
  assert.deepEqual(unsealedFindings('log'), []);
  assert.deepEqual(
    unsealedFindings('nats').map(({ severity, check, cure }) => [severity, check, typeof cure]),
    [['warning', 'seal', 'string']],
  );
  const vaultAt = (address: string) =>
    openVaultRing({ address, mount: 'transit', key: 'shop', token: 't', namespace: undefined }).check();
  assert.deepEqual(
    (await vaultAt('http://vault:8200')).map(({ check }) => check),
    ['seal-vault-tls'],
  );
  for (const address of ['https://vault:8200', 'http://127.0.0.1:8200', 'http://[::1]:8200'])
    assert.deepEqual(await vaultAt(address), []);
});
