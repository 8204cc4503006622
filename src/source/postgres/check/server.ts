import { alterSystem, type Found, formatBytes } from '../../../engine/postgres/access.ts';
import type { SourceFacts } from '../facts.ts';

/** Settings and state of the whole server. */
export function checkServer({ server, slot, prepared, writers }: SourceFacts, walBudgetBytes?: number): Found[] {
  return [
    ...recovery(server),
    ...walLevel(server),
    ...capacity(server, slot),
    ...keepSize(server, walBudgetBytes),
    ...(slot === undefined
      ? [...preparedTransactions(prepared, 'the replication slot waits until they end'), ...longTransactions(writers)]
      : preparedTransactions(
          prepared.filter(({ ageS }) => ageS >= preparedLongS),
          'the primary keeps its log since then for the slot, and the secondary has none of them',
        )),
    ...encoding(server),
    ...largeObjects(server),
  ];
}

type Server = SourceFacts['server'];

function recovery({ recovering }: Server): Found[] {
  if (!recovering) return [];
  return [
    {
      severity: 'blocker',
      check: 'recovery',
      message: 'This server is a standby: it follows another one and cannot be the primary',
      // Never a plain statement: pasted by a tired operator it would split the brain.
      cure: '-- Give the address of its primary instead. Only where this server has to lead from now on: SELECT pg_promote();',
      code: 'SOURCE_UNSUITABLE',
    },
  ];
}

function walLevel({ walLevel: level }: Server): Found[] {
  if (level === 'logical') return [];
  return [
    {
      severity: 'blocker',
      check: 'wal-level',
      message: `wal_level is ${level}: the log does not say which rows changed`,
      cure: alterSystem('wal_level', 'logical', 'restart'),
      code: 'SOURCE_UNSUITABLE',
    },
  ];
}

/** One sender is ours, and one slot; a copy that begins takes another slot for its time. */
function capacity(server: Server, slot: SourceFacts['slot']): Found[] {
  const findings: Found[] = [];
  const full = (check: string, setting: string, most: number, what: string): Found => ({
    severity: 'blocker',
    check,
    message: `${what} (${setting})`,
    cure: alterSystem(setting, String(most + 4), 'restart'),
    code: 'SOURCE_BUSY',
  });
  const slotsFree = server.slotsMax - server.slotsUsed;
  if (slot === undefined && slotsFree < 2)
    findings.push(
      full(
        'replication-slots',
        'max_replication_slots',
        server.slotsMax,
        `Of ${server.slotsMax} replication slots ${slotsFree} is free, and the copy needs 2 until it is whole, then 1`,
      ),
    );
  if ((slot?.activePid ?? null) === null && server.sendersUsed >= server.sendersMax)
    findings.push(
      full('wal-senders', 'max_wal_senders', server.sendersMax, `All ${server.sendersMax} WAL senders are taken`),
    );
  return findings;
}

const mb = 1024 * 1024;

/** A limit costs a new copy when it bites; none costs the primary when its disk is full. The suggestion: the budget that was
 *  given, else a day of the server's average, and never less than four of its checkpoints' worth. */
function keepSize({ keepMb, walMbMax, walBytesPerDay }: Server, walBudgetBytes?: number): Found[] {
  if (keepMb !== -1) return [];
  const dayMb = Math.ceil(walBytesPerDay / mb / 1024) * 1024;
  const suggestedMb = walBudgetBytes === undefined ? Math.max(dayMb, 4 * walMbMax) : Math.ceil(walBudgetBytes / mb);
  const from =
    walBudgetBytes === undefined
      ? `a day of its average of ${formatBytes(walBytesPerDay)} a day, at least 4 x max_wal_size`
      : 'the budget of the configuration';
  return [
    {
      severity: 'warning',
      check: 'wal-keep-size',
      message: `max_slot_wal_keep_size sets no limit: a slot that nobody reads, ours or another, fills the primary's disk. Suggested: ${formatBytes(suggestedMb * mb)} (${from}); more if the disk has room`,
      cure: alterSystem('max_slot_wal_keep_size', `${suggestedMb}MB`, 'reload'),
    },
  ];
}

/** Beside a slot, one that its transaction manager is about to decide is nothing to tell. */
const preparedLongS = 300;

function preparedTransactions(prepared: SourceFacts['prepared'], harm: string): Found[] {
  if (prepared.length === 0) return [];
  const each = prepared.map(
    ({ gid, database }) => `-- in database ${database}, whichever its transaction manager decided:
COMMIT PREPARED '${gid.replaceAll("'", "''")}'; -- or ROLLBACK PREPARED`,
  );
  const oldest = Math.max(...prepared.map(({ ageS }) => ageS));
  return [
    {
      severity: 'warning',
      check: 'prepared-transactions',
      message: `${prepared.length} prepared transactions are open, the oldest for ${oldest} s: ${harm}`,
      cure: each.join('\n'),
    },
  ];
}

function longTransactions(writers: SourceFacts['writers']): Found[] {
  return writers.map(({ pid, ageS }) => ({
    severity: 'note',
    check: 'long-transactions',
    message: `Process ${pid} is in a writing transaction since ${ageS} s: the replication slot waits until it ends`,
    cure: `SELECT pg_terminate_backend(${pid}); -- or wait`,
  }));
}

function encoding(server: Server): Found[] {
  if (server.encoding !== 'SQL_ASCII') return [];
  return [
    {
      severity: 'warning',
      check: 'encoding',
      message:
        'The database is SQL_ASCII: nobody checked its text, and bytes that are not UTF-8 will be refused at the secondary',
      cure: `-- Move the data into a database that says what it holds:
-- CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8'; then pg_dump --encoding=<what it really is> | psql`,
    },
  ];
}

function largeObjects(server: Server): Found[] {
  if (server.largeObjects === 0) return [];
  return [
    {
      severity: 'warning',
      check: 'large-objects',
      message: `${server.largeObjects} large objects are not replicated: PostgreSQL does not decode them`,
      cure: `-- Per table that points to them (here t.object), keep the content in the row instead:
-- ALTER TABLE t ADD COLUMN content bytea; UPDATE t SET content = lo_get(object); then SELECT lo_unlink(object) FROM t;`,
    },
  ];
}
