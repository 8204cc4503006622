import { main as commandLine } from './cli/command-line.ts';
import type { House } from './cli/house.ts';
import * as adapters from './main/adapters.ts';
import { immovable, runAgents } from './main/agents.ts';
import { ledgersOf, openLedger, openLedgerReader } from './main/ledger.ts';
import { prepare } from './main/prepare.ts';
import { resyncLane } from './main/resync.ts';
import { openKeyRing } from './main/seal.ts';
import { standingBy } from './main/standby.ts';

/* The composition root: puts the adapters behind the ports and the agents under one signal. It decides nothing. */
export const house: House = {
  sourceInspector: (configuration, site) => adapters.openSourceInspector(configuration, site),
  targetInspector: (configuration, site) => adapters.openTargetInspector(configuration, site),
  helm: (configuration, at) => adapters.openHelm(configuration, at),
  immovable,
  brokerInspector: (configuration) => adapters.openBrokerInspector(configuration),
  logReader: adapters.openReader,
  verifyLog: adapters.verifyBroker,
  keyRing: async ({ seal }) => seal && openKeyRing(seal),
  resync: resyncLane,
  source: (configuration, site) => adapters.openSource(configuration, adapters.siteOf(configuration, site)),
  ledgers: ledgersOf,
  openLedger,
  ledgerReader: openLedgerReader,
  async run(configuration, { restart, standby, ...options }, signal) {
    const agents = { configuration, adapters, ...options };
    const work = async (): Promise<void> => {
      await prepare(house, { configuration, restart, ...options }, signal);
      await runAgents(agents, signal);
    };
    await (standby ? standingBy(agents, work, signal) : work());
  },
  async demo(options, signal) {
    const { demo } = await import('./demo/demo.ts');
    return demo(options, signal);
  },
};

/** Runs the command line of this process; resolves to its exit code. */
export const main = (): Promise<number> => commandLine(house);
