/** What the supervisor does with an error: try again with backoff, stop the lane, or stop it and call a person. */
export type Action = 'retry' | 'stop' | 'page';

interface Row {
  readonly action: Action;
  /** What the operator can do. A particular error may carry a more exact hint. */
  readonly hint: string;
}

/** The closed table of errors. The prefix is the room. `docs/errors.md` is generated from it. */
export const errorTable = {
  CONFIG_INVALID: {
    action: 'stop',
    hint: 'Mend the configuration at the place named; `changeover init` writes a valid one.',
  },
  CONFIG_UNREADABLE: { action: 'stop', hint: 'Check the path and the permissions of the file.' },
  CONFIG_SECRET_MISSING: { action: 'stop', hint: 'Set the environment variable, or point to a readable file.' },
  CLI_REFUSED: { action: 'stop', hint: 'Nothing was changed. See the command with --help for how to insist.' },
  CLI_USAGE: { action: 'stop', hint: 'See the command with --help.' },
  CLI_NOTHING_HERE: {
    action: 'stop',
    hint: 'Start with: changeover replicate <from-url> <to-url>, or changeover init.',
  },

  SOURCE_UNREACHABLE: {
    action: 'retry',
    hint: 'Check that the primary runs and that its address, port and pg_hba.conf let us in.',
  },
  SOURCE_LOGIN_REFUSED: { action: 'page', hint: 'Check user, password and pg_hba.conf at the primary.' },
  SOURCE_TLS_REFUSED: {
    action: 'page',
    hint: 'The primary did not prove who it is, or refused our certificate. Check the certificates of both ends.',
  },
  SOURCE_PRIVILEGE: { action: 'page', hint: 'Run: changeover check. It prints the exact GRANTs.' },
  SOURCE_UNSUITABLE: { action: 'page', hint: 'Run: changeover check. It prints the setting to change.' },
  SOURCE_SLOT_LOST: {
    action: 'page',
    hint: 'The primary no longer keeps what we need. Copy only what differs: changeover resync.',
  },
  SOURCE_SLOT_RELEASED: {
    action: 'page',
    hint: 'The primary kept more of its log for us than it may, and over_budget says release. Once what held capture up is mended: changeover resync copies only what differs.',
  },
  SOURCE_SLOT_BUSY: {
    action: 'retry',
    hint: 'Another process reads this slot. Stop it, or wait until its connection is gone.',
  },
  SOURCE_SLOT_FOREIGN: {
    action: 'page',
    hint: 'Another installation may use this slot. If none does: changeover replicate --restart removes it and copies anew.',
  },
  SOURCE_POSITION_LOST: {
    action: 'page',
    hint: 'The primary cannot continue where the log ends. Copy only what differs: changeover resync; it says so where that is not possible.',
  },
  SOURCE_BUSY: { action: 'retry', hint: 'The primary has no free connection, slot or sender. Run: changeover check.' },
  SOURCE_PROTOCOL: {
    action: 'page',
    hint: 'The primary sent what we do not understand. Nothing was skipped; please report it.',
  },
  SOURCE_TABLE_UNSUITABLE: { action: 'page', hint: 'Run: changeover check. It names the table and the cure.' },
  SOURCE_SPILL_FULL: {
    action: 'retry',
    hint: 'Free space in the data folder: what is not committed yet at the primary waits there. The primary keeps the changes meanwhile.',
  },
  SOURCE_SPILL_IO: {
    action: 'page',
    hint: 'Check the disk under the data folder and its permissions, then start again: the primary sends the transaction once more.',
  },
  SOURCE_FAILED: { action: 'retry', hint: 'The primary refused a statement; its message says why.' },

  BROKER_CORRUPT: {
    action: 'page',
    hint: 'Run: changeover log verify. It names the first broken entry. Nothing behind it was applied.',
  },
  BROKER_LOCKED: {
    action: 'stop',
    hint: 'Another process writes this log. Stop it first, or start this one with --standby, to follow it.',
  },
  BROKER_DISK_FULL: {
    action: 'retry',
    hint: 'Free space where the log lies. The primary keeps the changes meanwhile.',
  },
  BROKER_IO: {
    action: 'page',
    hint: 'The disk under the log failed. Check it, then start again: the log is verified at start.',
  },
  BROKER_GAP: {
    action: 'page',
    hint: 'Entries are missing. Copy only what differs: changeover resync.',
  },
  BROKER_FOREIGN: {
    action: 'page',
    hint: 'This log is not the one that the secondary was fed from. Point to the right data folder.',
  },
  BROKER_FORMAT: {
    action: 'page',
    hint: 'This log was written by another version of Changeover. Run that version, or start over in another folder.',
  },
  BROKER_UNREACHABLE: {
    action: 'retry',
    hint: 'Check that the broker runs and that its address and port let us in. The primary keeps the changes meanwhile.',
  },
  BROKER_LOGIN_REFUSED: {
    action: 'page',
    hint: 'Check user, password and permissions at the broker.',
  },
  BROKER_TLS_REFUSED: {
    action: 'page',
    hint: 'The broker did not prove who it is, or refused our certificate. Check the certificates of both ends.',
  },
  BROKER_UNSUITABLE: { action: 'page', hint: 'Run: changeover check. It prints the setting to change.' },
  BROKER_EMPTY: {
    action: 'stop',
    hint: 'There is no log in this folder yet. Start: changeover replicate, or changeover run.',
  },

  BROKER_SEALED: {
    action: 'page',
    hint: 'This stream is sealed. Name its key ring: broker.seal in changeover.yaml.',
  },
  BROKER_NOT_SEALED: {
    action: 'page',
    hint: 'A stream is sealed from its first entry on, or not at all. If you have just turned sealing on: changeover run --restart begins a new one. If not, somebody else put this entry there.',
  },
  BROKER_TAMPERED: {
    action: 'page',
    hint: 'Somebody changed what the broker holds, with whole checksums; no fault of a disk does that. Nothing from there on was applied. See all: changeover log verify. Restore what the broker held, or start over with a new copy: changeover run --restart.',
  },
  BROKER_KEY_MISSING: {
    action: 'retry',
    hint: 'Bring the key of that name to the key ring of this machine: it is read again each time. See what is there: changeover keys ls.',
  },
  BROKER_KEY_UNREACHABLE: {
    action: 'retry',
    hint: 'Check the key ring: the path of the file and its permissions, or that the key service runs and is not sealed itself.',
  },
  BROKER_KEY_REFUSED: {
    action: 'page',
    hint: 'The key service answered, and said no; the message says why. Check the token, its policy and its lifetime, and that no version of the key was retired.',
  },

  EPOCH_FENCED: {
    action: 'stop',
    hint: 'A newer epoch leads. This process must not write; start it again under the new leader.',
  },

  TARGET_UNREACHABLE: {
    action: 'retry',
    hint: 'Check that the secondary runs and that its address, port and pg_hba.conf let us in.',
  },
  TARGET_LOGIN_REFUSED: { action: 'page', hint: 'Check user, password and pg_hba.conf at the secondary.' },
  TARGET_TLS_REFUSED: {
    action: 'page',
    hint: 'The secondary did not prove who it is, or refused our certificate. Check the certificates of both ends.',
  },
  TARGET_PRIVILEGE: { action: 'page', hint: 'Run: changeover check. It prints the exact GRANTs.' },
  TARGET_UNSUITABLE: { action: 'page', hint: 'Run: changeover check. It prints the setting to change.' },
  TARGET_BUSY: { action: 'retry', hint: 'Another process applies to this secondary, or no connection is free.' },
  TARGET_DISK_FULL: { action: 'retry', hint: 'Free space at the secondary. The log keeps the changes meanwhile.' },
  TARGET_NOT_EMPTY: {
    action: 'page',
    hint: 'Empty the named tables at the secondary, or leave them out; we never overwrite rows that are not ours.',
  },
  TARGET_TABLE_DIFFERS: {
    action: 'page',
    hint: 'Make the table at the secondary like the one at the primary, or drop it and start over.',
  },
  TARGET_SCHEMA_FAILED: {
    action: 'page',
    hint: 'The statement could not be replayed at the secondary; its message says why.',
  },
  TARGET_CONFLICT: {
    action: 'page',
    hint: 'The secondary holds a row that the primary does not have: somebody wrote to it. Remove that row; we continue where we stood.',
  },
  TARGET_DRIFT: {
    action: 'page',
    hint: 'A row that should be changed is missing at the secondary and cannot be rebuilt from the change alone. Start over with a new copy of the table.',
  },
  TARGET_STALE: { action: 'stop', hint: 'The checkpoint moved under us: another process applied. Only one may.' },
  TARGET_REFUSED: {
    action: 'page',
    hint: 'The secondary refused a change; its message says why. Nothing of that transaction was applied. Mend it there and start again; or let the others go on: changeover set-aside <table>.',
  },
  TARGET_FAILED: { action: 'retry', hint: 'The secondary refused a statement; its message says why.' },

  APPLY_CHAIN_BROKEN: { action: 'page', hint: 'Entries do not follow one another. Run: changeover log verify.' },

  VERIFY_NO_STAND: {
    action: 'stop',
    hint: 'Nothing was compared. See: changeover status. A transaction that is open for long at the primary delays it: close it, or wait for longer with --timeout.',
  },
  VERIFY_REFUSED: { action: 'stop', hint: 'The primary could not answer; the message says why. Nothing was changed.' },

  CONTROL_NOT_READY: { action: 'stop', hint: 'Run: changeover check. It prints every finding with its cure.' },
  CONTROL_REFUSED: {
    action: 'stop',
    hint: 'Nothing was changed. See who leads, and whether all is in step: changeover status.',
  },
  CONTROL_CANCELLED: {
    action: 'stop',
    hint: 'The old primary leads as before, and its writers are let in again.',
  },
  CONTROL_INTERRUPTED: {
    action: 'stop',
    hint: 'The old primary leads as before. Ask for the switchover again.',
  },
  CONTROL_FENCE_OPEN: {
    action: 'stop',
    hint: 'Somebody writes at the primary who is not shut out: a superuser, or whoever logs in as Changeover does. Stop that first.',
  },
  CONTROL_NOT_EQUAL: {
    action: 'page',
    hint: 'The secondary is not what the primary is. Find out who writes to it: changeover status. The primary leads as before.',
  },
  CONTROL_LEADER_UNKNOWN: {
    action: 'page',
    hint: 'Put standing.json back into the data folder from a copy of it, or start over: changeover run --restart.',
  },
  CONTROL_DEADLINE: { action: 'stop', hint: 'The deadline passed first. See: changeover status.' },

  DEMO_FAILED: { action: 'stop', hint: 'The demo could not go on; the message says where.' },
  ASSERTION: { action: 'page', hint: 'A bug in Changeover. Nothing was skipped; please report it with the message.' },
} as const satisfies Record<string, Row>;

export type Code = keyof typeof errorTable;

export interface ErrorDetails {
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The one error class. Decide by `code`, never by the message. */
export class ChangeoverError extends Error {
  override readonly name = 'ChangeoverError';
  readonly code: Code;
  readonly hint: string;

  constructor(code: Code, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = details.hint ?? errorTable[code].hint;
  }

  get action(): Action {
    return errorTable[this.code].action;
  }
}

export const isCode = (error: unknown, ...codes: readonly Code[]): boolean =>
  error instanceof ChangeoverError && codes.includes(error.code);

/** Stops what cannot be: a state that the code rules out. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new ChangeoverError('ASSERTION', message);
}

/** Ends an exhaustive switch: a new case does not compile until someone has thought about it. */
export function unreachable(value: never): never {
  throw new ChangeoverError('ASSERTION', `Unexpected case: ${JSON.stringify(value)}`);
}
