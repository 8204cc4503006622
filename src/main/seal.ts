import type { Broker, BrokerReader, Entry } from '../broker/broker.ts';
import type { KeyRing } from '../broker/key-ring.ts';
import type { Configuration, SealPlan } from '../config/configuration.ts';
import { unreachable } from '../error.ts';
import type { Finding } from '../finding.ts';

/* What stands between a broker and whoever appends to it or reads it: the seal, or the refusal of a seal that is not configured. */

type OpenReader = (signal: AbortSignal) => Promise<BrokerReader>;

export async function openKeyRing(plan: SealPlan): Promise<KeyRing> {
  switch (plan.kind) {
    case 'file':
      return (await import('../broker/seal/key-file.ts')).openKeyFile(plan.path);
    case 'environment': {
      const { openKeyList } = await import('../broker/seal/key-list.ts');
      return openKeyList({ name: 'list of keys in broker.seal.keys', read: async () => plan.keys });
    }
    case 'vault':
      return (await import('../broker/seal/vault.ts')).openVaultRing(plan);
    default:
      return unreachable(plan);
  }
}

/** What would keep the seal from holding, or the broker from being sealed. */
export async function checkSeal({ broker, seal }: Configuration, signal: AbortSignal): Promise<readonly Finding[]> {
  const { sealFindings, unsealedFindings } = await import('../broker/seal/check.ts');
  return seal ? sealFindings(await openKeyRing(seal), signal) : unsealedFindings(broker.kind);
}

/** Takes the broker over, also when it throws. */
export async function sealedBroker(
  { seal }: Configuration,
  { broker, openReader }: { readonly broker: Broker; readonly openReader: OpenReader },
  signal: AbortSignal,
): Promise<Broker> {
  await using opened = new AsyncDisposableStack();
  opened.use(broker);
  if (!seal) {
    const { openPlainBroker } = await import('../broker/seal/plain.ts');
    opened.move();
    return openPlainBroker(broker, openReader, signal);
  }
  const { openSealedBroker } = await import('../broker/seal/writer.ts');
  const ring = await openKeyRing(seal);
  opened.move();
  return openSealedBroker({ broker, openReader, ring }, signal);
}

/** Takes the reader over. */
export async function sealedReader({ seal }: Configuration, reader: BrokerReader): Promise<BrokerReader> {
  if (!seal) return (await import('../broker/seal/plain.ts')).openPlainReader(reader);
  const { openSealedReader } = await import('../broker/seal/reader.ts');
  return openSealedReader(reader, await openKeyRing(seal));
}

/** What proves the entries of a stream, one after the other, as whoever reads them does. */
export async function entryOpening(
  { seal }: Configuration,
  stream: string,
): Promise<(entry: Entry, signal: AbortSignal) => Promise<Entry>> {
  if (!seal) {
    const { refuseSealed } = await import('../broker/seal/plain.ts');
    return async (entry) => refuseSealed(entry);
  }
  const { Opener } = await import('../broker/seal/open.ts');
  const { OpeningKeys } = await import('../broker/seal/data-keys.ts');
  const opener = new Opener(stream, new OpeningKeys(await openKeyRing(seal)));
  return (entry, signal) => opener.open(entry, signal);
}
