import { CommanderError } from 'commander';
import { ChangeoverError, type Code } from '../error.ts';
import { type Desk, outJson, paint, tame } from './desk.ts';

/** 0 done, 1 failed or findings, 2 usage, 3 refused for safety. */
export type ExitCode = 0 | 1 | 2 | 3;

/** Where we could go on and will not, because it might destroy or double something. */
const refusals: readonly Code[] = [
  'CLI_REFUSED',
  'CONTROL_REFUSED',
  'BROKER_FOREIGN',
  'BROKER_LOCKED',
  'EPOCH_FENCED',
  'SOURCE_SLOT_FOREIGN',
  'TARGET_NOT_EMPTY',
  'TARGET_STALE',
];

export function exitCodeOf(error: ChangeoverError): ExitCode {
  if (/^(CLI_USAGE|CLI_NOTHING_HERE|CONFIG_)/.test(error.code)) return 2;
  return refusals.includes(error.code) ? 3 : 1;
}

/** Puts whatever was thrown into the closed table. */
export function asFailure(thrown: unknown): ChangeoverError {
  if (thrown instanceof ChangeoverError) return thrown;
  if (thrown instanceof CommanderError)
    return new ChangeoverError('CLI_USAGE', thrown.message.replace(/^error: /, ''), { cause: thrown });
  const what = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return new ChangeoverError('ASSERTION', what, { cause: thrown });
}

export interface Telling {
  readonly desk: Desk;
  readonly json: boolean;
}

/** Tells an error once: as JSON on standard output, or in two lines on standard error. */
export function tell(error: ChangeoverError, { desk, json }: Telling): void {
  const { code, message, hint } = error;
  if (json) outJson(desk, { error: { code, message, hint } });
  else desk.err(`${paint(desk, ['red', 'bold'], code)} ${tame(message)}\nhint: ${tame(hint)}\n`);
  if (desk.env.CHANGEOVER_DEBUG) desk.err(`${traceOf(error)}\n`);
}

const traceOf = (error: unknown): string =>
  error instanceof Error
    ? `${error.stack ?? error.message}${error.cause === undefined ? '' : `\ncaused by ${traceOf(error.cause)}`}`
    : String(error);
