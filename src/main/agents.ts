import type { Broker, BrokerReader } from '../broker/broker.ts';
import { type Configuration, secondariesOf } from '../config/configuration.ts';
import { excerptsText } from '../config/tables.ts';
import { coordinate } from '../control/coordinate.ts';
import type { Reach } from '../control/crew.ts';
import { type Journal, openJournal } from '../control/journal.ts';
import { firstStanding } from '../control/state.ts';
import { type AgentsOptions, OwnCrew } from './crew.ts';

/** Runs agents until `signal` aborts, and beside capture the coordinator, who moves the lead when asked to. Throws the error of an agent
 *  that fails for good at its first try at once, of the others when all have stopped. */
export async function runAgents(options: AgentsOptions, signal: AbortSignal): Promise<void> {
  const { configuration, adapters, roles } = options;
  await using opened = new AsyncDisposableStack();
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const broker = roles.includes('capture') ? opened.use(await adapters.openBroker(configuration, both)) : undefined;
  const journal = broker && (await journalOf(options, broker, both));
  const writer = journal ? () => journal.writer() : broker && (() => shared(broker));
  const crew = opened.use(new OwnCrew({ ...options, writer }, both));
  const work = journal
    ? coordination({ ...options, journal, crew }, both)
    : crew.lead(firstStanding(configuration.primary));
  try {
    await Promise.race([crew.over(), work.then(() => crew.over())]);
  } finally {
    stop.abort();
    await work;
  }
}

/** Only our own log has a coordinator so far: over another broker the lead stays where the configuration has it. */
function journalOf(
  { configuration, adapters }: AgentsOptions,
  broker: Broker,
  signal: AbortSignal,
): Promise<Journal> | undefined {
  const { folder, primary, broker: plan } = configuration;
  if (plan.kind !== 'log') return undefined;
  const reader = (inner: AbortSignal): Promise<BrokerReader> => adapters.openReader(configuration, inner);
  return openJournal({ broker, openReader: reader, folder, leader: primary }, signal);
}

/** The broker outlives each try of capture. One that was not reached yet has no stream to name: that is asked of it when it is needed. */
const shared = (broker: Broker): Broker => ({
  get stream() {
    return broker.stream;
  },
  append: (epoch, batch) => broker.append(epoch, batch),
  tail: () => broker.tail(),
  isEmpty: () => broker.isEmpty(),
  async [Symbol.asyncDispose]() {},
});

interface Coordination extends AgentsOptions {
  readonly journal: Journal;
  readonly crew: OwnCrew;
}

function coordination(
  { configuration, adapters, journal, crew, report }: Coordination,
  signal: AbortSignal,
): Promise<void> {
  const { folder, sites, guard, heartbeatMs: watchMs } = configuration;
  const reach: Reach = {
    helm: (site, side) => adapters.openHelm(configuration, { site, side }),
    source: (site) => adapters.openSourceInspector(configuration, site),
    target: (site) => adapters.openTargetInspector(configuration, site),
  };
  return coordinate(
    {
      journal,
      openReader: (inner) => adapters.openReader(configuration, inner),
      crew,
      reach,
      folder,
      sites: sites.map(({ name }) => name),
      immovable: immovable(configuration),
      guard,
      watchMs,
      report: (line) => report(`control: ${line}`),
    },
    signal,
  );
}

/** Why the lead cannot move here. */
export function immovable(configuration: Configuration): string | undefined {
  const { sites, broker, tables } = configuration;
  if (broker.kind !== 'log') return 'The lead moves only over the embedded log so far';
  if (sites.length !== 2) return 'The lead moves only between two sites so far';
  if (sites.some(({ role }) => role === 'warehouse')) return 'A warehouse only receives';
  if (excerptsText(tables) !== undefined)
    return 'Rows or columns are left out or masked: the secondary is no whole database';
  return secondariesOf(configuration).length === 0 ? 'No other site is in step: a failover left it behind' : undefined;
}
