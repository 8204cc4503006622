import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Broker, BrokerReader } from '../broker/broker.ts';
import type { Ledger } from '../cli/house.ts';
import type { Configuration } from '../config/configuration.ts';
import { sealedBroker, sealedReader } from './seal.ts';

/* Each ledger of orphans is an embedded log of its own in the data folder, sealed as the stream is, and never trimmed. */

const root = ({ folder }: Configuration): string => join(folder, 'orphans');

const pathOf = (configuration: Configuration, { epoch, stream, site }: Ledger): string =>
  join(root(configuration), `${epoch}.${stream}.${site}`);

export async function ledgersOf(configuration: Configuration): Promise<readonly Ledger[]> {
  const names = await readdir(root(configuration)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const ledgers = names.flatMap((name) => {
    const [, epoch, stream = '', site = ''] = /^(\d+)\.([^.]+)\.(.+)$/.exec(name) ?? [];
    return epoch === undefined ? [] : [{ epoch: Number(epoch), stream, site }];
  });
  return ledgers.toSorted((a, b) => a.epoch - b.epoch);
}

export async function openLedger(configuration: Configuration, ledger: Ledger, signal: AbortSignal): Promise<Broker> {
  const { openLogBroker } = await import('../broker/log/writer.ts');
  const { openLogReader } = await import('../broker/log/reader.ts');
  const folder = pathOf(configuration, ledger);
  const keep = { keepMs: Number.POSITIVE_INFINITY, keepBytes: Number.POSITIVE_INFINITY };
  const broker = await openLogBroker({ folder, ...keep }, signal);
  return sealedBroker(configuration, { broker, openReader: (inner) => openLogReader({ folder }, inner) }, signal);
}

export async function openLedgerReader(
  configuration: Configuration,
  ledger: Ledger,
  signal: AbortSignal,
): Promise<BrokerReader> {
  const { openLogReader } = await import('../broker/log/reader.ts');
  return sealedReader(configuration, await openLogReader({ folder: pathOf(configuration, ledger) }, signal));
}
