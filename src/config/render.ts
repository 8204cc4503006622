import { stringify } from 'yaml';
import { redactUrl } from './address.ts';
import type { Configuration, Objective } from './configuration.ts';
import { formatDurationMs, formatSizeBytes } from './units.ts';

/** The plan as a file with every option in it and every secret as `***`. */
export const renderConfiguration = (configuration: Configuration): string =>
  stringify(renderedConfiguration(configuration), { lineWidth: 0 });

/** The same as plain values, in the words of the file. */
export function renderedConfiguration(configuration: Configuration): unknown {
  const { broker } = configuration;
  return {
    name: configuration.name,
    sites: Object.fromEntries(
      configuration.sites.map((site) => [site.name, { postgres: redactUrl(site.url), role: site.role }]),
    ),
    primary: configuration.primary,
    broker: {
      log: configuration.folder,
      keep: formatDurationMs(broker.retentionMs),
      keep_at_most: formatSizeBytes(broker.retentionBytesMax),
    },
    tables: configuration.tables.map(({ match, tier, leaveOut }) => ({
      match,
      ...(tier !== undefined && { tier }),
      ...(leaveOut && { leave_out: true }),
    })),
    objectives: Object.fromEntries(
      Object.entries(configuration.objectives).map(([tier, objective]) => [tier, writtenObjective(objective)]),
    ),
    heartbeat: formatDurationMs(configuration.heartbeatMs),
    wal_budget: formatSizeBytes(configuration.walBudgetBytes),
    lagging_after: formatDurationMs(configuration.lagMsMax),
    unheard_after: formatDurationMs(configuration.silenceMsMax),
  };
}

const writtenObjective = ({ rpoMs, rtoMs, verifyEveryMs }: Objective): unknown => ({
  ...(rpoMs !== undefined && { rpo: formatDurationMs(rpoMs) }),
  ...(rtoMs !== undefined && { rto: formatDurationMs(rtoMs) }),
  ...(verifyEveryMs !== undefined && { verify_every: formatDurationMs(verifyEveryMs) }),
});
