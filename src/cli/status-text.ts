import type { AgentSeen, SecondaryStatus, Status } from '../control/status.ts';
import { ageMsOf, asideWords, behindBytes, judge, judgeSecondary, type Severity, walOf } from '../control/verdict.ts';
import { bytesWords, countWords, durationWords, grouped } from '../control/words.ts';
import { aligned, type Desk, paint, tame } from './desk.ts';

const colours = {
  ok: ['green', 'bold'],
  warning: ['yellow', 'bold'],
  critical: ['red', 'bold'],
} as const satisfies Record<Severity, readonly string[]>;

/** The verdict, then what it rests on. */
export function statusText(status: Status, desk: Desk): string {
  const { verdict, sentence, severity, hint } = judge(status);
  const others = status.secondaries.length > 1 ? status.secondaries : [];
  return [
    `${paint(desk, [...colours[severity]], verdict)}: ${tame(sentence)}\n`,
    hint === undefined ? '' : `hint: ${tame(hint)}\n`,
    '\n',
    ...others.map((secondary) => {
      const { verdict, sentence, severity } = judgeSecondary(status, secondary);
      return `  ${paint(desk, [...colours[severity]], verdict)}: ${tame(sentence)}\n`;
    }),
    others.length > 0 ? '\n' : '',
    aligned(places(status)),
    '\n',
    aligned([
      ...facts(status),
      ...status.agents.map((agent) => [agentName(agent), agentWords(agent, status.atMs)]),
      ['rests on', 'positions and checkpoints; rows were not compared'],
    ]),
  ].join('');
}

/** One line for each place that a change passes. */
function places(status: Status): readonly (readonly string[])[] {
  const { source, log, lane } = status;
  const rows: (readonly string[])[] = [];
  if (source.known) {
    const { position, acknowledged, notCapturedBytes } = source.value;
    const captured = acknowledged === undefined ? 'nothing is kept for us' : `captured to ${acknowledged.token}`;
    const left = notCapturedBytes === undefined ? '' : `, ${bytesWords(notCapturedBytes)} to go`;
    rows.push([lane.primary, position.token, `${captured}${left}`]);
  } else rows.push([lane.primary, '?', source.trouble.code]);
  if (log.known) {
    const { first, next, bytes, epoch, end } = log.value;
    const leads = epoch === undefined ? '' : `, epoch ${epoch}`;
    rows.push([
      'log',
      end?.token ?? '-',
      `${countWords(next - first, 'entry', 'entries')}, ${bytesWords(bytes)}${leads}`,
    ]);
  } else rows.push(['log', '?', log.trouble.code]);
  return [...rows, ...status.secondaries.map((secondary) => secondaryRow(status, secondary))];
}

function secondaryRow(status: Status, secondary: SecondaryStatus): readonly string[] {
  const { site, target, notApplied } = secondary;
  if (!target.known) return [site, '?', target.trouble.code];
  const ageMs = ageMsOf(status, secondary);
  const bytes = behindBytes(status, secondary);
  if (bytes === 0) return [site, target.value.checkpoint?.position?.token ?? '-', `level with ${status.lane.primary}`];
  const behind = [
    ...(ageMs === undefined ? [] : [`${durationWords(ageMs)} old`]),
    ...(bytes === undefined ? [] : [`${bytesWords(bytes)} of WAL behind`]),
    ...(notApplied === undefined
      ? []
      : [`${countWords(notApplied.entries, 'entry', 'entries')} (${bytesWords(notApplied.bytes)}) to apply`]),
  ];
  return [site, target.value.checkpoint?.position?.token ?? '-', behind.join(', ')];
}

function facts(status: Status): readonly (readonly string[])[] {
  const { source, lane, secondaries } = status;
  const rows: (readonly string[])[] = [];
  const wal = walOf(status);
  if (source.known && wal !== undefined) {
    rows.push([`lost if ${lane.primary} vanished now`, lossWords(source.value.notCapturedBytes)]);
    const { kept } = source.value;
    const ours = `${bytesWords(wal.retainedBytes)} of ${bytesWords(wal.limitBytes)} (${wal.limitedBy})`;
    const limit = kept === undefined || kept === 'reserved' ? ours : `${ours}, ${kept}`;
    rows.push([`WAL kept for us at ${lane.primary}`, `${limit}${forecast(wal.fullInMs, source.value.reading)}`]);
  }
  for (const { site, target } of secondaries)
    if (target.known && target.value.drifted > 0)
      rows.push([`rows set right at ${site}`, `${grouped(target.value.drifted)}: somebody else writes there`]);
  for (const { site, target } of secondaries)
    if (target.known && target.value.setAside.length > 0)
      rows.push([`set aside at ${site}`, tame(target.value.setAside.map(asideWords).join(', '))]);
  return rows;
}

const lossWords = (bytes: number | undefined): string =>
  bytes === undefined
    ? 'not known: the primary keeps nothing for us'
    : bytes === 0
      ? 'nothing: the log holds all that was committed'
      : `at most ${bytesWords(bytes)} of WAL, not captured yet`;

function forecast(fullInMs: number | undefined, isReading: boolean): string {
  if (fullInMs === undefined) return '';
  const words = durationWords(fullInMs);
  return isReading ? `; if capture stopped now, full in ${words}` : `; full in ${words} at the last known rate`;
}

const agentName = ({ role, site }: AgentSeen): string =>
  role === 'capture' ? `capture from ${site}` : `apply to ${site}`;

function agentWords(agent: AgentSeen, nowMs: number): string {
  const state = agent.alive === false && agent.state !== 'stopped' ? 'gone without a word' : agent.state;
  const words = `${state}, for ${durationWords(nowMs - agent.sinceMs)}, process ${agent.pid} at ${agent.host}`;
  return agent.code === undefined ? words : `${words}: ${agent.code}`;
}
