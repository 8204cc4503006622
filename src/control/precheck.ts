import { ChangeoverError } from '../error.ts';
import type { Finding } from '../finding.ts';
import type { Survey } from '../helm/helm.ts';
import type { Reach } from './crew.ts';
import type { Lane } from './lane.ts';
import { observe } from './observe.ts';
import type { Status } from './status.ts';
import { bytesWords, countWords } from './words.ts';

export interface PrecheckOptions {
  readonly lane: Lane;
  readonly reach: Reach;
  readonly to: string;
}

/** Everything that would keep a switchover from being done, or from being whole; changes nothing. */
export async function precheck({ lane, reach, to }: PrecheckOptions, signal: AbortSignal): Promise<readonly Finding[]> {
  const [status, from, target, asSource] = await Promise.all([
    observe(lane, signal),
    surveyed(reach, { site: lane.primary, side: 'primary' }, signal),
    surveyed(reach, { site: to, side: 'secondary' }, signal),
    ready(reach, to, signal),
  ]);
  const both =
    'findings' in from || 'findings' in target ? [] : across({ from: from.survey, to: target.survey, lane, site: to });
  return [
    ...inStep(status, to),
    ...('findings' in from ? from.findings : fence(from.survey, lane.primary)),
    ...('findings' in target ? target.findings : guard(target.survey, to)),
    ...asSource,
    ...both,
  ];
}

type Surveyed = { readonly survey: Survey } | { readonly findings: readonly Finding[] };

async function surveyed(
  reach: Reach,
  { site, side }: { readonly site: string; readonly side: 'primary' | 'secondary' },
  signal: AbortSignal,
): Promise<Surveyed> {
  try {
    await using helm = await reach.helm(site, side);
    return { survey: await helm.survey(signal) };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ChangeoverError) || error.code === 'ASSERTION') throw error;
    const { code, message, hint } = error;
    return { findings: [{ severity: 'blocker', check: 'answers', site, message, cure: hint, code }] };
  }
}

/** The secondary is read one day as the primary is now: what would keep it from that, is in the way today. */
async function ready(reach: Reach, site: string, signal: AbortSignal): Promise<readonly Finding[]> {
  await using source = await reach.source(site);
  return (await source.check(signal)).filter(({ severity }) => severity === 'blocker');
}

function inStep({ source, log, secondaries }: Status, to: string): readonly Finding[] {
  const secondary = secondaries.find(({ site }) => site === to);
  const checkpoint = secondary?.target.known ? secondary.target.value.checkpoint : undefined;
  if (!checkpoint?.position)
    return [blocker({ check: 'copy', site: to, message: 'it holds no whole copy yet', cure: '-- changeover status' })];
  if (!log.known || checkpoint.stream !== log.value.stream)
    return [
      blocker({
        check: 'log',
        site: to,
        message: 'it was fed from another log than the one here',
        cure: '-- changeover status',
      }),
    ];
  const toCapture = source.known ? (source.value.notCapturedBytes ?? 0) : 0;
  const behind = toCapture + (secondary?.notApplied?.bytes ?? 0);
  return [
    {
      severity: 'note',
      check: 'lag',
      site: to,
      message: `${bytesWords(behind)} behind: so much is applied while nobody can write`,
    },
  ];
}

function fence({ writers, beyondUs, unfenced, prepared }: Survey, site: string): readonly Finding[] {
  return [
    ...guard({ beyondUs }, site),
    ...(prepared > 0
      ? [
          blocker({
            check: 'prepared',
            site,
            message: `${countWords(prepared, 'prepared transaction is', 'prepared transactions are')} open: it would outlive the fence`,
            cure: 'SELECT gid, owner, prepared FROM pg_prepared_xacts; -- then COMMIT PREPARED or ROLLBACK PREPARED each',
          }),
        ]
      : []),
    ...(unfenced.length > 0
      ? [
          {
            severity: 'warning',
            check: 'unfenced',
            site,
            message: `no fence reaches ${unfenced.join(', ')}: who writes so while it is switched over stops it`,
            cure: '-- Let applications log in as roles that are no superusers, and other than the one of Changeover',
          } as const,
        ]
      : []),
    {
      severity: 'note',
      check: 'writers',
      site,
      message: writers.length > 0 ? `will be shut out: ${writers.join(', ')}` : 'no role but superusers can write',
    },
  ];
}

const guard = ({ beyondUs }: Pick<Survey, 'beyondUs'>, site: string): readonly Finding[] =>
  beyondUs.length === 0
    ? []
    : [
        blocker({
          check: 'fence',
          site,
          message: `we may not shut out ${beyondUs.join(', ')}`,
          cure: '-- As a superuser: ALTER ROLE <our role> CREATEROLE; and from 16 on: GRANT <each of them> TO <our role> WITH ADMIN OPTION;',
        }),
      ];

interface Across {
  readonly from: Survey;
  readonly to: Survey;
  readonly lane: Lane;
  readonly site: string;
}

function across({ from, to, lane, site }: Across): readonly Finding[] {
  const lacking = (mine: readonly string[], theirs: readonly string[]): readonly string[] => {
    const there = new Set(theirs);
    return mine.filter((one) => !there.has(one));
  };
  const definitions = lacking(from.definitions, to.definitions);
  const sequences = lacking(from.sequences, to.sequences);
  const roles = lacking(from.writers, to.writers);
  const lacks = [...definitions, ...sequences.map((name) => `sequence ${name}`)];
  return [
    ...(lacks.length > 0
      ? [
          blocker({
            check: 'definitions',
            site,
            message: `it lacks what ${lane.primary} has: ${lacks.slice(0, 5).join('; ')}${lacks.length > 5 ? `; and ${lacks.length - 5} more` : ''}`,
            cure: `-- Make them at ${site} as they are at ${lane.primary}: pg_dump --schema-only shows how`,
          }),
        ]
      : []),
    ...(roles.length > 0
      ? [
          {
            severity: 'warning',
            check: 'roles',
            site,
            message: `these write at ${lane.primary} and cannot log in and write here: ${roles.join(', ')}`,
            cure: `-- Make the roles at ${site}, with their passwords and grants, before the application is sent there`,
          } as const,
        ]
      : []),
  ];
}

const blocker = (found: Omit<Finding, 'severity'>): Finding => ({ severity: 'blocker', ...found });
