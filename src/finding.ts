import type { Code } from './error.ts';

/** One result of a preflight: what is wrong, where, and the text to paste that cures it. */
export interface Finding {
  /** `blocker`: replication would not start, or would harm. `warning`: it works, with the named limit. `note`: for display only. */
  readonly severity: 'blocker' | 'warning' | 'note';
  /** Stable name of the check, for example `wal-level`. */
  readonly check: string;
  /** Which side, for example `primary` or the name of a site. */
  readonly site: string;
  /** One sentence. Never a row value, never a secret. */
  readonly message: string;
  /** SQL or configuration to paste. Undefined only for a note. */
  readonly cure?: string;
  /** The error that replication would stop with, where it would. */
  readonly code?: Code;
}
