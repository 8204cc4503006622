import { isBefore, type Position } from '../change/position.ts';
import { tableName } from '../change/table.ts';
import type { Checkpoint, SetAside } from '../target/target.ts';
import type { Role } from './agents.ts';
import type { AgentSeen, Observed, SecondaryStatus, Status, Trouble } from './status.ts';
import { bytesWords, copyWords, countWords, durationWords } from './words.ts';

/** From worst to best; the worst secondary speaks for the lane. */
const verdicts = ['STOPPED', 'UNREACHABLE', 'NOT STARTED', 'COPYING', 'INCOMPLETE', 'LAGGING', 'IN STEP'] as const;
export type Verdict = (typeof verdicts)[number];
export type Severity = 'ok' | 'warning' | 'critical';

export interface Judgement {
  readonly verdict: Verdict;
  /** What is so, naming the sites and, where one is known, the position. */
  readonly sentence: string;
  readonly severity: Severity;
  /** 0 only when in step. */
  readonly exitCode: 0 | 1;
  readonly hint?: string;
}

const severities: Readonly<Record<Verdict, Severity>> = {
  STOPPED: 'critical',
  UNREACHABLE: 'critical',
  'NOT STARTED': 'warning',
  COPYING: 'warning',
  INCOMPLETE: 'critical',
  LAGGING: 'warning',
  'IN STEP': 'ok',
};

const judgement = (verdict: Verdict, sentence: string, hint?: string): Judgement => ({
  verdict,
  sentence,
  severity: severities[verdict],
  exitCode: verdict === 'IN STEP' ? 0 : 1,
  ...(hint !== undefined && { hint }),
});

/** The verdict on a whole lane. Never better than what was checked (invariant 12). */
export function judge(status: Status): Judgement {
  const judgements = status.secondaries.map((secondary) => judgeSecondary(status, secondary));
  const [worst] = judgements.toSorted((a, b) => verdicts.indexOf(a.verdict) - verdicts.indexOf(b.verdict));
  return worst ?? judgement('NOT STARTED', `${status.lane.primary} has no secondary`);
}

export function judgeSecondary(status: Status, secondary: SecondaryStatus): Judgement {
  const judged =
    stoppedAgent(status, secondary) ??
    notAnswering(status, secondary) ??
    lost(status, secondary) ??
    notBegun(status, secondary) ??
    mismatch(status, secondary) ??
    copying(status, secondary) ??
    idle(status, secondary) ??
    distance(status, secondary);
  return pressed(incomplete(judged, secondary) ?? judged, status);
}

/** However near the secondary is: some tables of it are as they were long ago. */
function incomplete({ verdict, sentence }: Judgement, { target }: SecondaryStatus): Judgement | undefined {
  const aside = target.known ? target.value.setAside : [];
  if (aside.length === 0 || (verdict !== 'IN STEP' && verdict !== 'LAGGING')) return undefined;
  const tables = `${countWords(aside.length, 'table', 'tables')} set aside: ${aside.map(asideWords).join(', ')}`;
  return judgement(
    'INCOMPLETE',
    `${sentence}; but for ${tables}`,
    'Mend what the secondary refused, then bring it back: changeover snapshot <table>.',
  );
}

export const agentOf = (status: Status, role: Role, site: string): AgentSeen | undefined =>
  status.agents.find((agent) => agent.role === role && (role === 'capture' || agent.site === site));

const checkpointOf = ({ target }: SecondaryStatus): Checkpoint | undefined =>
  target.known ? target.value.checkpoint : undefined;

/** Its own word that it runs, not contradicted by its process being gone. */
const isWorking = (agent: AgentSeen | undefined): boolean =>
  agent !== undefined && agent.state !== 'stopped' && agent.alive !== false;

/** An agent that gave up with an error: no other fact matters as much. */
function stoppedAgent(status: Status, { site }: SecondaryStatus): Judgement | undefined {
  for (const role of ['capture', 'apply'] as const) {
    const agent = agentOf(status, role, site);
    if (agent?.state !== 'stopped' || agent.code === undefined) continue;
    return judgement(
      'STOPPED',
      `${deed(role, status, site)} stopped: ${agent.code} ${agent.message ?? ''}`,
      agent.hint,
    );
  }
  return undefined;
}

const deed = (role: Role, status: Status, site: string): string =>
  role === 'capture' ? `capture from ${status.lane.primary}` : `apply to ${site}`;

function notAnswering(status: Status, secondary: SecondaryStatus): Judgement | undefined {
  const { source, log } = status;
  const silent = (site: string, { code, message, hint }: Trouble): Judgement =>
    judgement('UNREACHABLE', `${site} cannot be asked: ${code} ${message}${lastKnown(secondary)}`, hint);
  if (!source.known) return silent(status.lane.primary, source.trouble);
  if (!secondary.target.known) return silent(secondary.site, secondary.target.trouble);
  const broken = [log, secondary.appliedAtUs]
    .map(troubleOf)
    .find((trouble) => trouble && trouble.code !== 'BROKER_EMPTY');
  if (broken === undefined) return undefined;
  return judgement('STOPPED', `the log cannot be read: ${broken.code} ${broken.message}`, broken.hint);
}

const troubleOf = (observed: Observed<unknown>): Trouble | undefined => (observed.known ? undefined : observed.trouble);

function lastKnown(secondary: SecondaryStatus): string {
  const position = checkpointOf(secondary)?.position;
  return position === undefined ? '' : `; ${secondary.site} stands at ${position.token}`;
}

/** Nothing was captured, or nothing applied. */
function notBegun(status: Status, secondary: SecondaryStatus): Judgement | undefined {
  const { primary } = status.lane;
  const { site } = secondary;
  const checkpoint = checkpointOf(secondary);
  const isEmpty = !status.log.known || status.log.value.next === 0;
  if (!status.log.known && checkpoint !== undefined)
    return judgement(
      'STOPPED',
      `there is no log here, but ${site} was fed from one${lastKnown(secondary)}`,
      'Point to the data folder that the secondary was fed from.',
    );
  if (checkpoint !== undefined) return undefined;
  if (isFlowing(status, secondary))
    return judgement('COPYING', `the first copy of ${primary} to ${site} is being prepared${copied(status)}`);
  const hint = 'Start: changeover replicate, or changeover run.';
  return isEmpty
    ? judgement('NOT STARTED', `nothing has come from ${primary} to ${site} yet`, hint)
    : judgement('STOPPED', `the log has begun, but nothing is applied to ${site}, and nobody is at work`, hint);
}

const isFlowing = (status: Status, secondary: SecondaryStatus): boolean =>
  isWorking(agentOf(status, 'capture', secondary.site)) ||
  (status.source.known && status.source.value.reading) ||
  (secondary.target.known && secondary.target.value.writing);

/** The primary removed what nobody had captured, whether or not an agent has noticed. */
function lost(status: Status, secondary: SecondaryStatus): Judgement | undefined {
  if (!status.source.known || status.source.value.kept !== 'lost') return undefined;
  return judgement(
    'STOPPED',
    `${status.lane.primary} removed WAL that was not captured yet: more was kept for us than max_slot_wal_keep_size${lastKnown(secondary)}`,
    'Copy only what differs: changeover resync.',
  );
}

/** However near the secondary is: what the primary keeps for us may become too much (invariant 6). */
function pressed(judged: Judgement, status: Status): Judgement {
  const { primary } = status.lane;
  const wal = walOf(status);
  if (wal === undefined || wal.pressure === 'none') return judged;
  const kept = `${primary} keeps ${bytesWords(wal.retainedBytes)} of WAL for us, of ${bytesWords(wal.limitBytes)} (${wal.limitedBy})`;
  const words = {
    rising: wal.fullInMs === undefined ? '' : `, and all of that in ${durationWords(wal.fullInMs)}`,
    over: ': over budget',
    doomed: ', and its next checkpoint may remove it',
  }[wal.pressure];
  const hint =
    'See what holds capture up: changeover status, the line of its agent. A full broker or a dead capture; or a long transaction at the primary.';
  return {
    ...judged,
    sentence: `${judged.sentence}; ${kept}${words}`,
    severity: judged.severity === 'critical' || wal.pressure !== 'rising' ? 'critical' : 'warning',
    hint: judged.hint ?? hint,
  };
}

/** The secondary, the log and the primary must tell one history. */
function mismatch(status: Status, secondary: SecondaryStatus): Judgement | undefined {
  const checkpoint = checkpointOf(secondary);
  if (checkpoint === undefined || !status.log.known || !status.source.known) return undefined;
  const { site } = secondary;
  if (checkpoint.stream !== status.log.value.stream)
    return judgement(
      'STOPPED',
      `${site} was fed from another log than the one here`,
      'Point to the data folder that it was fed from.',
    );
  const origin = checkpoint.position?.origin;
  if (origin !== undefined && origin !== status.source.value.position.origin)
    return judgement(
      'STOPPED',
      `${site} was fed from another database than ${status.lane.primary}`,
      'Check the address of the primary. Was it restored or initialised anew? Then start over: changeover replicate --restart.',
    );
  return undefined;
}

function copying(status: Status, secondary: SecondaryStatus): Judgement | undefined {
  const checkpoint = checkpointOf(secondary);
  if (checkpoint === undefined || checkpoint.position !== undefined) return undefined;
  const { primary } = status.lane;
  if (!isFlowing(status, secondary))
    return judgement(
      'STOPPED',
      `the copy of ${primary} to ${secondary.site} is unfinished, and nobody is at work`,
      restart,
    );
  const behind = secondary.notApplied;
  const left = behind && behind.entries > 0 ? `; ${bytesWords(behind.bytes)} of it wait in the log` : '';
  return judgement(
    'COPYING',
    `${secondary.site} is receiving a copy of ${primary} and is not usable before it is whole${copied(status)}${left}`,
  );
}

/** How much of the copy is read, as capture itself says. */
function copied(status: Status): string {
  const copy = agentOf(status, 'capture', '')?.copy;
  return copy === undefined ? '' : `; ${copyWords(copy)}`;
}

const restart = 'Start it again: changeover replicate, or changeover run. It resumes where it stood.';

/** The databases answer, but somebody does not do his part. */
function idle(status: Status, secondary: SecondaryStatus): Judgement | undefined {
  const active: Readonly<Record<Role, boolean>> = {
    capture: status.source.known && status.source.value.reading,
    apply: secondary.target.known && secondary.target.value.writing,
  };
  for (const role of ['capture', 'apply'] as const) {
    const agent = agentOf(status, role, secondary.site);
    const what = deed(role, status, secondary.site);
    if (isWorking(agent) && agent?.state === 'retrying')
      return judgement(
        'LAGGING',
        `${what} tries again: ${agent.code} ${agent.message}${lastKnown(secondary)}`,
        agent.hint,
      );
    if (active[role]) continue;
    return isWorking(agent)
      ? judgement('LAGGING', `${what} runs, but is not connected at this moment${lastKnown(secondary)}`)
      : judgement('STOPPED', `${what} does not run${lastKnown(secondary)}`, restart);
  }
  return undefined;
}

/** Everybody is at work: how far is the secondary? */
function distance(status: Status, secondary: SecondaryStatus): Judgement {
  const position = checkpointOf(secondary)?.position;
  const { site, notApplied } = secondary;
  const { primary, limits } = status.lane;
  const toCapture = status.source.known ? status.source.value.notCapturedBytes : undefined;
  if (!status.source.known || position === undefined || notApplied === undefined || toCapture === undefined)
    return judgement('LAGGING', `how far ${site} is behind ${primary} could not be found out`);
  const waits = [
    ...(toCapture !== undefined && toCapture > 0 ? [`${bytesWords(toCapture)} to capture`] : []),
    ...(notApplied.entries > 0
      ? [`${countWords(notApplied.entries, 'entry', 'entries')} (${bytesWords(notApplied.bytes)}) to apply`]
      : []),
  ];
  const waiting = waits.length > 0 ? `: ${waits.join(', ')}` : '';
  const equal = `${site} equals ${primary} as of ${position.token}`;
  const isLevel = notApplied.entries === 0 && !isBefore(position, status.source.value.position);
  if (isLevel) return inStep(secondary, `${equal}, the end of its log`);
  const ageMs = ageMsOf(status, secondary);
  if (ageMs === undefined)
    return judgement(
      'LAGGING',
      `${site} stands at ${position.token}; how old that is will be known with the next commit${waiting}`,
    );
  if (ageMs > limits.lagMsMax)
    return judgement('LAGGING', `${site} is ${durationWords(ageMs)} behind ${primary}, at ${position.token}${waiting}`);
  return inStep(secondary, `${equal}, ${durationWords(ageMs)} ago`);
}

/** In step, but perhaps with something to look after. */
function inStep(secondary: SecondaryStatus, sentence: string): Judgement {
  const drifted = secondary.target.known ? secondary.target.value.drifted : 0;
  if (drifted > 0)
    return {
      ...judgement('IN STEP', sentence, `Somebody writes to ${secondary.site}; find out who.`),
      severity: 'warning',
    };
  return judgement('IN STEP', sentence);
}

export const asideWords = ({ table, since }: SetAside): string => `${tableName(table)} since ${since.token}`;

/** By the source's clock against ours: a label, never below 0 however the clocks differ (invariant 16). */
export function ageMsOf(status: Status, { appliedAtUs }: SecondaryStatus): number | undefined {
  if (!appliedAtUs.known || appliedAtUs.value === undefined) return undefined;
  return Math.max(0, status.atMs - Number(appliedAtUs.value / 1000n));
}

/** Bytes of the source's own log between the secondary and its end. Undefined: unknown, or of another history. */
export function behindBytes(status: Status, secondary: SecondaryStatus): number | undefined {
  const position: Position | undefined = checkpointOf(secondary)?.position;
  if (!status.source.known || position?.origin !== status.source.value.position.origin) return undefined;
  return Math.max(0, Number(status.source.value.position.order - position.order));
}

export interface WalForecast {
  readonly retainedBytes: number;
  readonly limitBytes: number;
  /** Whose limit is reached first: ours only raises a voice, the primary's invalidates the slot. */
  readonly limitedBy: 'wal_budget' | 'max_slot_wal_keep_size';
  /** How fast the primary writes WAL, as capture last saw it. */
  readonly bytesPerSecond: number | undefined;
  /** Until the limit, if nothing were captured from now on. */
  readonly fullInMs: number | undefined;
  /** `rising`: half of it is used, or it is used up soon while nobody captures. `over`: more is kept than the limit. `doomed`: the next checkpoint
   *  of the primary may remove it. */
  readonly pressure: 'none' | 'rising' | 'over' | 'doomed';
}

/** Time for a person to come and see. */
const soonMs = 60 * 60_000;

/** What the primary keeps on our account, and for how long that can go on (invariant 6). */
export function walOf(status: Status): WalForecast | undefined {
  if (!status.source.known) return undefined;
  const { retainedBytes, retainedBytesMax = Infinity, kept, safeBytes, reading } = status.source.value;
  const { walBudgetBytes } = status.lane.limits;
  const limitBytes = Math.min(walBudgetBytes, retainedBytesMax);
  const bytesPerSecond = agentOf(status, 'capture', '')?.walBytesPerSecond;
  // The server's own count knows which of its files it would remove.
  const left = Math.max(0, Math.min(limitBytes - retainedBytes, safeBytes ?? Infinity));
  const fullInMs = bytesPerSecond === undefined || bytesPerSecond <= 0 ? undefined : (left / bytesPerSecond) * 1000;
  const isSoon = !reading && fullInMs !== undefined && fullInMs < soonMs && kept !== undefined;
  const isRising = isSoon || retainedBytes > limitBytes / 2;
  const pressureUnder = isRising ? 'rising' : 'none';
  const pressure = retainedBytes > limitBytes ? 'over' : pressureUnder;
  return {
    retainedBytes,
    limitBytes,
    limitedBy: retainedBytesMax < walBudgetBytes ? 'max_slot_wal_keep_size' : 'wal_budget',
    bytesPerSecond,
    fullInMs,
    pressure: kept === 'unreserved' ? 'doomed' : pressure,
  };
}
