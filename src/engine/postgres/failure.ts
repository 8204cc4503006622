import { tableName } from '../../change/table.ts';
import { ChangeoverError, type Code } from '../../error.ts';
import { tlsRefusal } from '../../tls.ts';

/** On which side of the house a PostgreSQL server stands: decides the prefix of its errors. */
export type Side = 'SOURCE' | 'TARGET';

const byState: Record<Side, readonly (readonly [RegExp, Code])[]> = {
  SOURCE: [
    [/^(28000|28P01|3D000)$/, 'SOURCE_LOGIN_REFUSED'],
    [/^42501$/, 'SOURCE_PRIVILEGE'],
    [/^(53300|53400)$/, 'SOURCE_BUSY'],
    [/^55006$/, 'SOURCE_SLOT_BUSY'],
    // Text that is no UTF-8: trying again does not make it so.
    [/^(22021|22P05)$/, 'SOURCE_UNSUITABLE'],
    [/^(57P0[1-5]|08...)$/, 'SOURCE_UNREACHABLE'],
  ],
  TARGET: [
    [/^(28000|28P01|3D000)$/, 'TARGET_LOGIN_REFUSED'],
    [/^42501$/, 'TARGET_PRIVILEGE'],
    [/^53100$/, 'TARGET_DISK_FULL'],
    [/^53...$/, 'TARGET_BUSY'],
    [/^(57P0[1-5]|08...)$/, 'TARGET_UNREACHABLE'],
    [/^(40...|55P03|57014|58...|XX000)$/, 'TARGET_FAILED'],
    [/^(23505|23P01)$/, 'TARGET_CONFLICT'],
    [/^(42P01|42703|3F000)$/, 'TARGET_TABLE_DIFFERS'],
    [/^(2[0-9A-Z]{4}|42...|0A000)$/, 'TARGET_REFUSED'],
  ],
};

/** What a server's refusal says. The detail field is left out: it can hold row values. */
export interface Refusal {
  /** https://www.postgresql.org/docs/current/errcodes-appendix.html */
  readonly state: string;
  readonly message: string;
  readonly doing: string;
  /** Where the server says it: a violated constraint does, a value that its type does not take does not. */
  readonly table?: { readonly schema: string; readonly name: string } | undefined;
}

/** Puts a server's refusal into the closed table. */
export function refusal(side: Side, { state, message, doing, table }: Refusal, cause?: unknown): ChangeoverError {
  const code = byState[side].find(([pattern]) => pattern.test(state))?.[1] ?? `${side}_FAILED`;
  const where = table ? `table ${tableName(table)}, ` : '';
  const error = new ChangeoverError(code, `${doing}: ${message} (${where}SQLSTATE ${state})`, { cause });
  states.set(error, state);
  return error;
}

const states = new WeakMap<ChangeoverError, string>();

/** The SQLSTATE that an error was made of, if a server made it. */
export const sqlState = (error: unknown): string | undefined =>
  error instanceof ChangeoverError ? states.get(error) : undefined;

/** Puts a driver's error, or a server's as the driver gives it, into the closed table. */
export function failure(side: Side, error: unknown, doing: string): ChangeoverError {
  if (error instanceof ChangeoverError) return error;
  const message = error instanceof Error ? error.message || error.name : String(error);
  const state = error instanceof Error && 'severity' in error && 'code' in error ? error.code : undefined;
  if (typeof state === 'string') return refusal(side, { state, message, doing }, error);
  return (
    tlsRefusal(`${side}_TLS_REFUSED`, error, doing) ??
    new ChangeoverError(`${side}_UNREACHABLE`, `${doing}: ${message}`, { cause: error })
  );
}
