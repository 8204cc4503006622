import { alterSystem, type Found } from '../../../engine/postgres/access.ts';
import type { Connection } from '../../../engine/postgres/connect.ts';
import { objects } from '../../../engine/postgres/json.ts';
import { slotState } from '../slot.ts';

/* Whether the lane outlives the primary: a physical standby that is promoted goes on with our slot only where it kept it.
   https://www.postgresql.org/docs/current/logicaldecoding-explanation.html (Replication Slot Synchronization) */

/** Before, no standby keeps a logical slot. */
const versionMin = 170_000;

export interface StandbyFacts {
  readonly standbys: readonly Standby[];
  /** Undefined: there is no slot of ours yet. */
  readonly isFailover: boolean | undefined;
  /** What synchronized_standby_slots names. */
  readonly waitedFor: readonly string[];
}

export interface Standby {
  /** What it calls itself. Null: we may not see who it is, nor what it does. */
  readonly name: string | null;
  /** The physical slot that it reads through. */
  readonly slot: string | null;
  /** It tells what its readers need (hot_standby_feedback). */
  readonly feedback: boolean;
  /** From its address somebody is connected who keeps slots. */
  readonly keepsSlots: boolean;
}

/** What copies the log and nothing else is no standby. Which slots somebody keeps is seen only by his name, which is PostgreSQL's own. */
const standbysSql = `
SELECT r.application_name AS name, s.slot_name AS slot, coalesce(s.xmin, r.backend_xmin) IS NOT NULL AS feedback,
  EXISTS (SELECT FROM pg_stat_activity a WHERE a.application_name LIKE '%slotsync worker'
    AND a.client_addr IS NOT DISTINCT FROM r.client_addr) AS "keepsSlots"
FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid
WHERE s.slot_type IS DISTINCT FROM 'logical'
  AND (r.state IS NULL OR r.state IN ('catchup', 'streaming') AND r.application_name NOT IN ('pg_receivewal', 'pg_basebackup'))
ORDER BY r.application_name, s.slot_name`;

const waitedForSql = `
SELECT trim(both ' "' FROM name) FROM regexp_split_to_table(current_setting('synchronized_standby_slots'), ',') name
WHERE trim(name) <> ''`;

export async function checkStandbys(
  connection: Connection,
  { slot, version, recovering }: { readonly slot: string; readonly version: number; readonly recovering: boolean },
): Promise<Found[]> {
  if (version < versionMin || recovering) return [];
  return judgeStandbys({
    standbys: await objects<Standby>(connection, standbysSql),
    isFailover: (await slotState(connection, slot))?.isFailover,
    waitedFor: (await connection.rows(waitedForSql)).flatMap(([name]) => name ?? []),
  });
}

export function judgeStandbys({ standbys, isFailover, waitedFor }: StandbyFacts): Found[] {
  if (standbys.length === 0) return [];
  if (standbys.some(({ name }) => name === null))
    return [
      {
        severity: 'note',
        check: 'standby-hidden',
        message:
          'Whether a physical standby keeps our slot was not looked at: that takes the rights of pg_read_all_stats',
        cure: 'GRANT pg_read_all_stats TO current_user; -- by a superuser, to the role that Changeover logs in as',
      },
    ];
  const findings = standbys.flatMap((standby) => lacks(standby, waitedFor));
  if (isFailover !== false) return findings;
  return [
    warning(
      'slot-failover',
      'Our replication slot stays behind when a physical standby is promoted: it is not marked to outlive the primary',
      '-- The next start of capture marks it: changeover run',
    ),
    ...findings,
  ];
}

function lacks({ name, slot, feedback, keepsSlots }: Standby, waitedFor: readonly string[]): Found[] {
  const who = `Physical standby ${name}`;
  const findings: Found[] = [];
  if (slot === null)
    findings.push(
      warning(
        'standby-slot',
        `${who} reads through no slot, and keeps none of ours without: primary_slot_name is not set there`,
        `-- Here, under a name for it: SELECT pg_create_physical_replication_slot('standby', true);
${there("ALTER SYSTEM SET primary_slot_name = 'standby'")}`,
      ),
    );
  if (!feedback)
    findings.push(
      warning(
        'standby-feedback',
        `${who} does not tell what it needs (hot_standby_feedback), and keeps no slot of ours without`,
        there('ALTER SYSTEM SET hot_standby_feedback = on'),
      ),
    );
  if (!keepsSlots)
    findings.push(
      warning(
        'standby-keeps-slots',
        `${who} keeps no slots: after its promotion capture stops, and takes a resync. Nobody is connected from there who does so (sync_replication_slots, and a dbname in primary_conninfo)`,
        `${there('ALTER SYSTEM SET sync_replication_slots = on')}
-- and give its primary_conninfo a dbname, for example dbname=postgres: SHOW primary_conninfo;`,
      ),
    );
  if (slot !== null && !waitedFor.includes(slot))
    findings.push(
      warning(
        'standby-ahead',
        `The log may get ahead of standby ${name}, and capture stops at its promotion where it did: synchronized_standby_slots does not name its slot ${slot}. Once it does, capture waits while that standby is away`,
        alterSystem('synchronized_standby_slots', [...waitedFor, slot].join(', '), 'reload'),
      ),
    );
  return findings;
}

const there = (sql: string): string => `-- At the standby: ${sql}; SELECT pg_reload_conf();`;

const warning = (check: string, message: string, cure: string): Found => ({
  severity: 'warning',
  check,
  message,
  cure,
});
