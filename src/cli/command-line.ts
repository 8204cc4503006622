import { CommanderError } from 'commander';
import { type Desk, processDesk } from './desk.ts';
import { asFailure, type ExitCode, exitCodeOf, tell } from './failure.ts';
import type { House } from './house.ts';
import { buildProgram } from './program.ts';

export interface CommandLineOptions {
  readonly house: House;
  /** The arguments behind the name of the program. */
  readonly words: readonly string[];
  readonly desk: Desk;
}

/** Runs one command to its end and returns its exit code. Everything that goes wrong is told at the desk, never thrown. When
 *  `signal` aborts, what waits is left at once and what works ends in order. */
export async function commandLine({ house, words, desk }: CommandLineOptions, signal: AbortSignal): Promise<number> {
  let exitCode: ExitCode = 0;
  const program = buildProgram({ house, desk, signal }, (code) => (exitCode = code));
  try {
    await program.parseAsync(words.length === 0 ? ['--help'] : [...words], { from: 'user' });
    return exitCode;
  } catch (thrown) {
    // Help that was asked for ends commander by throwing, too.
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    // What was left because the user wanted to stop is no failure to tell.
    if (signal.aborted && isInterruption(thrown, signal)) return interruptedExitCode;
    const failure = asFailure(thrown);
    tell(failure, { desk, json: words.includes('--json') });
    return exitCodeOf(failure);
  }
}

/** Node's own waits wrap the reason of the signal. */
const isInterruption = (thrown: unknown, signal: AbortSignal): boolean =>
  thrown === signal.reason || (thrown instanceof Error && thrown.name === 'AbortError');

/** As a shell reports a program that was interrupted. */
const interruptedExitCode = 130;
/** A terminal signals every process of the group, and npm and our own starter pass signals on: what comes so close together is
 *  one wish of one person. */
const sameWishMsMax = 500;

/** The command line of this process. The first SIGINT or SIGTERM asks to stop in order; one that comes later ends it at once. */
export async function main(house: House): Promise<number> {
  const controller = new AbortController();
  let firstMs: number | undefined;
  const stop = (): void => {
    firstMs ??= performance.now();
    if (performance.now() - firstMs > sameWishMsMax) process.exit(interruptedExitCode);
    controller.abort();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, stop);
  // Who reads us has had enough (`changeover log ls | head`): that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  // Nothing is left to wait for, and yet the command has not ended: a promise was lost. Silence would pass for an end in order.
  const forsaken = (): void => {
    process.stderr.write(
      'ASSERTION The command ended without finishing\nhint: A bug in Changeover; please report it.\n',
    );
    process.exit(1);
  };
  process.once('beforeExit', forsaken);
  try {
    return await commandLine({ house, words: process.argv.slice(2), desk: processDesk() }, controller.signal);
  } finally {
    process.off('beforeExit', forsaken);
    for (const name of signals) process.off(name, stop);
  }
}
