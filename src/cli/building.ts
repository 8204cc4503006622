import type { Command } from 'commander';
import type { Session } from './desk.ts';
import type { ExitCode } from './failure.ts';

export interface Building {
  readonly program: Command;
  readonly session: Session;
  readonly finish: (exitCode: ExitCode) => void;
}

export interface Words {
  readonly usage: string;
  readonly says: string;
  /** Without the word `changeover`. */
  readonly example: string;
}

export const define = (parent: Command, { usage, says, example }: Words): Command =>
  parent
    .command(usage)
    .description(says)
    .option('--json', 'answer in JSON; see docs/json.md')
    .addHelpText('after', `\nExample:\n  changeover ${example}`);

export const withConfig = (command: Command): Command =>
  command.option(
    '-c, --config <file>',
    'default: ./changeover.yaml, else what changeover replicate left in ./changeover-data',
  );
