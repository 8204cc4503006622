import { type Found, formatBytes } from '../../../engine/postgres/access.ts';
import { quoteLiteral } from '../../../engine/postgres/identifier.ts';
import type { SourceFacts } from '../facts.ts';

/** Part of the budget from which a person should know. */
const alarmPart = 0.8;

/** Whether an existing slot still holds what we need, and what it costs the primary (invariant 6). */
export function checkSlot({ slot, server }: SourceFacts, name: string, walBudgetBytes?: number): Found[] {
  if (slot === undefined) return [];
  const drop = `SELECT pg_drop_replication_slot(${quoteLiteral(name)});`;
  if (slot.plugin !== 'pgoutput' || slot.database !== server.database)
    return [
      {
        severity: 'blocker',
        check: 'slot-foreign',
        message: `Replication slot ${name} is not ours: ${slot.plugin ?? 'a physical slot'}${slot.database === null ? '' : ` in database ${slot.database}`}`,
        cure: `-- Choose another name for the lane, or if nobody needs that slot:\n${drop}`,
        code: 'SOURCE_UNSUITABLE',
      },
    ];
  if (slot.status === 'lost')
    return [
      {
        severity: 'blocker',
        check: 'slot-lost',
        message: `Replication slot ${name} is lost${slot.reason === null ? '' : ` (${slot.reason})`}: the primary removed log that we had not read`,
        cure: '-- Copy only what differs:\n-- changeover resync',
        code: 'SOURCE_SLOT_LOST',
      },
    ];
  const findings: Found[] = [];
  if (slot.temporary)
    findings.push({
      severity: 'blocker',
      check: 'slot-temporary',
      message: `Replication slot ${name} is temporary: it ends with the session of process ${slot.activePid}`,
      cure: `SELECT pg_terminate_backend(${slot.activePid});`,
      code: 'SOURCE_SLOT_BUSY',
    });
  else if (slot.activePid !== null)
    findings.push({
      severity: 'note',
      check: 'slot-active',
      message: `Process ${slot.activePid} reads replication slot ${name}: expected while this lane runs, and only then`,
    });
  return [...findings, ...retention(slot, server, { name, drop, walBudgetBytes })];
}

function retention(
  slot: NonNullable<SourceFacts['slot']>,
  server: SourceFacts['server'],
  { name, drop, walBudgetBytes }: { name: string; drop: string; walBudgetBytes: number | undefined },
): Found[] {
  const limits = [walBudgetBytes, server.keepMb === -1 ? undefined : server.keepMb * 1024 * 1024];
  const most = Math.min(...limits.filter((limit) => limit !== undefined));
  if (slot.retainedBytes < most * alarmPart && slot.status !== 'unreserved') return [];
  return [
    {
      severity: 'warning',
      check: 'wal-retained',
      message: `The primary keeps ${formatBytes(slot.retainedBytes)} of log for slot ${name}, of ${formatBytes(most)} at most${slot.status === 'unreserved' ? '; the next checkpoint may remove it' : ''}`,
      cure: `-- Let the capture catch up: changeover run. Or, if this lane is given up:\n${drop}`,
    },
  ];
}
