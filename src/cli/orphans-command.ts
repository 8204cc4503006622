import { type Building, define, withConfig } from './building.ts';
import type { ConfiguredOptions } from './lane.ts';
import type { OrphansCollectArguments } from './orphans.ts';

export function addOrphans({ program, session, finish }: Building): void {
  const orphans = program
    .command('orphans')
    .description('what a primary committed that a failover left behind')
    .addHelpText('after', '\nExample:\n  changeover orphans collect && changeover orphans ls');
  withConfig(
    define(orphans, {
      usage: 'collect',
      says: 'shut the old primary to writers, and read what it committed beyond the log into the ledger; it keeps all of it, too',
      example: 'orphans collect --dry-run',
    }),
  )
    .option('--dry-run', 'only say what would be read; changes nothing')
    .action(async (options: OrphansCollectArguments) => {
      const { orphansCollect } = await import('./orphans.ts');
      finish(await orphansCollect(session, options));
    });
  withConfig(
    define(orphans, {
      usage: 'ls',
      says: 'list the transactions of the ledger, the oldest first',
      example: 'orphans ls',
    }),
  ).action(async (options: ConfiguredOptions) => {
    const { orphansList } = await import('./orphans.ts');
    finish(await orphansList(session, options));
  });
  withConfig(
    define(orphans, {
      usage: 'show <transaction>',
      says: 'print the changes of one, values included: mind who reads along',
      example: 'orphans show 733',
    }),
  ).action(async (transaction: string, options: ConfiguredOptions) => {
    const { orphansShow } = await import('./orphans.ts');
    finish(await orphansShow(session, transaction, options));
  });
  withConfig(
    define(orphans, {
      usage: 'export',
      says: 'print all of them with their values, a line of JSON each, also without --json',
      example: 'orphans export > orphans.jsonl',
    }),
  ).action(async (options: ConfiguredOptions) => {
    const { orphansExport } = await import('./orphans.ts');
    finish(await orphansExport(session, options));
  });
}
