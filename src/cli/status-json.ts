import type { Position } from '../change/position.ts';
import { tableName } from '../change/table.ts';
import type { CopyProgress } from '../control/agents.ts';
import type { AgentSeen, Observed, SecondaryStatus, Status, Trouble } from '../control/status.ts';
import { ageMsOf, behindBytes, judge, judgeSecondary, walOf } from '../control/verdict.ts';

/** `changeover.status/1`, as docs/json.md promises it: every key is always there, null where something is not known. */
export function statusJson(status: Status): unknown {
  const { lane, source, log } = status;
  const { exitCode: _, hint, ...judgement } = judge(status);
  const wal = walOf(status);
  return {
    schema: 'changeover.status/1',
    ...judgement,
    hint: hint ?? null,
    lane: lane.name,
    at: new Date(status.atMs).toISOString(),
    basis: 'positions',
    primary: {
      site: lane.primary,
      error: errorOf(source),
      position: source.known ? source.value.position.token : null,
      captured: source.known ? token(source.value.acknowledged) : null,
      reading: source.known ? source.value.reading : null,
      notCapturedBytes: source.known ? (source.value.notCapturedBytes ?? null) : null,
    },
    log: {
      error: errorOf(log),
      stream: log.known ? log.value.stream : null,
      first: log.known ? log.value.first : null,
      next: log.known ? log.value.next : null,
      bytes: log.known ? log.value.bytes : null,
      epoch: log.known ? (log.value.epoch ?? null) : null,
      end: log.known ? token(log.value.end) : null,
    },
    secondaries: status.secondaries.map((secondary) => secondaryJson(status, secondary)),
    wal: {
      retainedBytes: wal?.retainedBytes ?? null,
      limitBytes: wal?.limitBytes ?? null,
      limitedBy: wal?.limitedBy ?? null,
      status: source.known ? (source.value.kept ?? null) : null,
      safeBytes: source.known ? (source.value.safeBytes ?? null) : null,
      bytesPerSecond: wal?.bytesPerSecond ?? null,
      fullInMs: wal?.fullInMs === undefined ? null : Math.round(wal.fullInMs),
    },
    lostIfPrimaryVanishedBytes: source.known ? (source.value.notCapturedBytes ?? null) : null,
    agents: status.agents.map(agentJson),
  };
}

function secondaryJson(status: Status, secondary: SecondaryStatus): unknown {
  const { site, target, notApplied } = secondary;
  const { verdict, sentence, severity } = judgeSecondary(status, secondary);
  return {
    site,
    verdict,
    sentence,
    severity,
    error: errorOf(target),
    position: target.known ? token(target.value.checkpoint?.position) : null,
    offset: target.known ? (target.value.checkpoint?.offset ?? null) : null,
    writing: target.known ? target.value.writing : null,
    ageMs: ageMsOf(status, secondary) ?? null,
    behindBytes: behindBytes(status, secondary) ?? null,
    notAppliedEntries: notApplied?.entries ?? null,
    notAppliedBytes: notApplied?.bytes ?? null,
    drifted: target.known ? target.value.drifted : null,
    setAside: target.known
      ? target.value.setAside.map(({ table, since }) => ({ table: tableName(table), since: since.token }))
      : null,
  };
}

const agentJson = (agent: AgentSeen): unknown => ({
  role: agent.role,
  site: agent.site,
  state: agent.alive === false && agent.state !== 'stopped' ? 'gone' : agent.state,
  since: new Date(agent.sinceMs).toISOString(),
  host: agent.host,
  pid: agent.pid,
  copy: agent.copy === undefined ? null : copyJson(agent.copy),
  error:
    agent.code === undefined
      ? null
      : ({ code: agent.code, message: agent.message ?? '', hint: agent.hint ?? '' } satisfies Trouble),
});

const copyJson = ({ rows, bytes, bytesAll, bytesPerSecond }: CopyProgress): unknown => ({
  rows,
  bytes: Math.round(bytes),
  bytesAll: Math.round(bytesAll),
  bytesPerSecond: Math.round(bytesPerSecond),
});

const token = (position: Position | undefined): string | null => position?.token ?? null;
const errorOf = (observed: Observed<unknown>): Trouble | null => (observed.known ? null : observed.trouble);
