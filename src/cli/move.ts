import { randomBytes } from 'node:crypto';
import type { BrokerReader } from '../broker/broker.ts';
import type { ControlEvent, Loss } from '../change/control.ts';
import type { Configuration } from '../config/configuration.ts';
import type { Request } from '../control/decide.ts';
import { dropRequest, putRequest } from '../control/requests.ts';
import { keptStanding } from '../control/standing.ts';
import { sentenceOf } from '../control/telling.ts';
import { ChangeoverError, type Code, errorTable, isCode } from '../error.ts';
import { outJson, paint, type Session, tame } from './desk.ts';
import type { ExitCode } from './failure.ts';

/** Ids go by the time at which they were made, so that requests are answered in their order. */
export const requestId = (): string => `${String(Date.now()).padStart(15, '0')}-${randomBytes(4).toString('hex')}`;

/** Whoever coordinates looks for requests ten times a second; it may be about to start, or to take over. */
const answerMsMax = 30_000;

/** Asks for a change of the lead and tells what becomes of it. The coordinator is in the process that writes the log: where none does, one
 *  works here, for as long as it takes. Throws CONTROL_DEADLINE where nobody answers, CONTROL_REFUSED. */
export async function move(
  session: Session,
  { configuration, request, json }: { configuration: Configuration; request: Request; json: boolean },
): Promise<ExitCode> {
  const { house, desk, signal } = session;
  const { folder } = configuration;
  await using reader = await house.logReader(configuration, signal);
  const { next } = await reader.observe();
  await putRequest(folder, request);
  const stop = new AbortController();
  const own = AbortSignal.any([signal, stop.signal]);
  const hosting = hosted(session, configuration, own);
  try {
    const told = follow({ reader, from: next, request, folder, session, json }, own);
    const events = await Promise.race([told, hosting.failed]);
    return finish(session, { events, request, json });
  } finally {
    stop.abort();
    await dropRequest(folder, request.id);
    const { isHost } = await hosting.ended;
    if (isHost && !json) desk.out('Nothing replicates now: start changeover run. It goes on from here.\n');
  }
}

interface Hosting {
  /** Rejects when the coordinator here fails. Never resolves. */
  readonly failed: Promise<never>;
  readonly ended: Promise<{ readonly isHost: boolean }>;
}

function hosted({ house, desk }: Session, configuration: Configuration, signal: AbortSignal): Hosting {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const report = (line: string): void => {
    if (/ failed: /.test(line)) desk.err(`${tame(line)}\n`);
  };
  const ended = house
    .run(configuration, { roles: ['capture', 'apply'], restart: false, standby: false, report }, signal)
    .then(() => ({ isHost: true }))
    .catch((error: unknown) => {
      if (isCode(error, 'BROKER_LOCKED')) return { isHost: false };
      failed.reject(error);
      return { isHost: true };
    });
  return { failed: failed.promise, ended };
}

interface Following {
  readonly reader: BrokerReader;
  readonly from: Parameters<BrokerReader['read']>[0];
  readonly request: Request;
  readonly folder: string;
  readonly session: Session;
  readonly json: boolean;
}

/** What the journal says of the move, up to its end. A cancel is answered by whatever move is under way; one that comes too late sees it
 *  through, since nobody else might. */
async function follow(
  { reader, from, request, folder, session, json }: Following,
  signal: AbortSignal,
): Promise<readonly ControlEvent[]> {
  const { desk } = session;
  const events: ControlEvent[] = [];
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), answerMsMax);
  try {
    for await (const { batch } of reader.read(from, AbortSignal.any([signal, silence.signal]))) {
      for (const change of batch.changes) {
        if (change.kind !== 'control' || change.event.kind === 'sampled') continue;
        if (request.what !== 'cancel' && change.event.id !== request.id) continue;
        clearTimeout(timer);
        const { event } = change;
        events.push(event);
        if (!json && event.kind !== 'refused') desk.out(`${line(event, events[0])}\n`);
        if (event.kind === 'finished' || event.kind === 'cancelled') return events;
        if (event.kind === 'refused' && !(request.what === 'cancel' && (await isUnderWay(folder)))) return events;
      }
    }
  } finally {
    clearTimeout(timer);
  }
  session.signal.throwIfAborted();
  throw new ChangeoverError('CONTROL_DEADLINE', `Nobody answered in ${answerMsMax / 1000} s`, {
    hint: 'Whoever writes the log coordinates: is changeover run of this version at work? A first copy must be whole, too.',
  });
}

const line = (event: ControlEvent, first: ControlEvent | undefined): string =>
  `  ${((event.atMs - (first?.atMs ?? event.atMs)) / 1000).toFixed(2).padStart(8)} s  ${tame(sentenceOf(event))}`;

const isCodeText = (text: string): text is Code => Object.hasOwn(errorTable, text);

const isUnderWay = async (folder: string): Promise<boolean> =>
  (await keptStanding(folder))?.standing.move !== undefined;

interface Ended {
  readonly events: readonly ControlEvent[];
  readonly request: Request;
  readonly json: boolean;
}

function finish({ desk }: Session, { events, request, json }: Ended): ExitCode {
  const last = events.at(-1);
  const refused = events.find((event) => event.kind === 'refused');
  const asked = events.find((event) => event.kind === 'asked');
  const promoted = events.find((event) => event.kind === 'promoted');
  if (refused) throw new ChangeoverError(isCodeText(refused.code) ? refused.code : 'CONTROL_REFUSED', refused.message);
  // Wanted or not.
  const exitCode = (last?.kind === 'finished') === (request.what !== 'cancel') ? 0 : 1;
  if (json) {
    outJson(desk, moveJson(events));
    return exitCode;
  }
  if (last?.kind === 'finished') {
    const took = ((last.atMs - (asked ?? last).atMs) / 1000).toFixed(2);
    const verdict = paint(desk, ['green', 'bold'], promoted?.what === 'failover' ? 'FAILED OVER' : 'SWITCHED OVER');
    desk.out(`${verdict}: ${promoted?.leader} leads in epoch ${promoted?.epoch}, after ${took} s\n`);
    return exitCode;
  }
  const verdict = paint(desk, ['yellow', 'bold'], 'CANCELLED');
  desk.out(`${verdict}: ${asked?.from ?? 'the old primary'} leads as before\n`);
  return exitCode;
}

/** changeover.move/1 */
function moveJson(events: readonly ControlEvent[]): object {
  const find = <K extends ControlEvent['kind']>(kind: K): Extract<ControlEvent, { kind: K }> | undefined =>
    events.find((event): event is Extract<ControlEvent, { kind: K }> => event.kind === kind);
  const [asked, fenced, sealed, proved, promoted] = [
    find('asked'),
    find('fenced'),
    find('sealed'),
    find('proved'),
    find('promoted'),
  ];
  const cancelling = find('cancelling');
  const first = events[0]?.atMs ?? 0;
  return {
    schema: 'changeover.move/1',
    verdict: find('finished') ? (asked?.what === 'failover' ? 'FAILED OVER' : 'SWITCHED OVER') : 'CANCELLED',
    what: asked?.what ?? null,
    from: asked?.from ?? null,
    to: asked?.to ?? null,
    epoch: promoted?.epoch ?? null,
    sealedAt: sealed?.position ?? null,
    fence: fenced ? { roles: fenced.roles, proved: fenced.proved, unfenced: fenced.unfenced } : null,
    compared: proved?.comparison ?? null,
    loss: asked?.loss ? lossJson(asked.loss) : null,
    reason: cancelling ? { code: cancelling.code, message: cancelling.message } : null,
    steps: events.map(({ kind, atMs }) => ({ step: kind, at: new Date(atMs).toISOString(), sinceMs: atMs - first })),
  };
}

export const lossJson = ({ toApply, notDurableBytes, known, coveredAtMs, boundMs }: Loss): object => ({
  toApplyEntries: toApply.entries,
  toApplyBytes: toApply.bytes,
  notDurableBytes,
  knownBytes: known?.bytes ?? null,
  knownTransactionsMax: known?.transactions ?? null,
  coveredAt: coveredAtMs === undefined ? null : new Date(coveredAtMs).toISOString(),
  boundMs: boundMs ?? null,
});
