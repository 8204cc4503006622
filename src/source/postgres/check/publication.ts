import { tableName } from '../../../change/table.ts';
import { type Found, some } from '../../../engine/postgres/access.ts';
import { quoteIdentifier } from '../../../engine/postgres/identifier.ts';
import { addTablesSql, copied, createPublicationSql, published, setTablesSql, type Wanted } from '../coverage.ts';
import { type Excerpts, excerptsCure, fingerprintIn } from '../excerpt.ts';
import type { SourceFacts, TableFacts } from '../facts.ts';

/** The publication decides which changes the server sends: whatever it leaves out is a silent gap (invariant 5). */
export function checkPublication(
  { server, tables, publication }: SourceFacts,
  name: string,
  { wanted, excerpts }: { readonly wanted: Wanted; readonly excerpts?: Excerpts | undefined },
): Found[] {
  const needed = published(tables, wanted, excerpts);
  if (publication === undefined) return creation(server, name, { needed, excerpts });
  const quoted = quoteIdentifier(name);
  const findings: Found[] = [];
  const broken = (check: string, message: string, cure: string): void => {
    findings.push({
      severity: 'blocker',
      check,
      message: `Publication ${name} ${message}`,
      cure: `${cure};`,
      code: 'SOURCE_UNSUITABLE',
    });
  };
  if (!publication.whole)
    broken(
      'publication-operations',
      'leaves out some of insert, update, delete, truncate',
      `ALTER PUBLICATION ${quoted} SET (publish = 'insert, update, delete, truncate')`,
    );
  if (publication.viaRoot)
    broken(
      'publication-root',
      'publishes partitions under the name of their parent',
      `ALTER PUBLICATION ${quoted} SET (publish_via_partition_root = false)`,
    );
  if (fingerprintIn(publication.comment) !== excerpts?.fingerprint)
    findings.push({
      severity: 'blocker',
      check: 'publication-excerpts',
      message: `Publication ${name} was made for other filters and masks than the configuration has`,
      cure: `-- ${excerptsCure(name, excerpts)}`,
      code: 'SOURCE_UNSUITABLE',
    });
  const narrowed = publication.narrowed.filter((table) => excerpts?.of(table)?.rows === undefined);
  if (narrowed.length > 0)
    broken(
      'publication-filters',
      `hides rows or columns of ${some(narrowed.map(tableName))}`,
      setTablesSql(name, needed, excerpts),
    );
  // Published by partition, so a partition is covered by its own name or by its parent's.
  const covered = new Set(publication.tables.map(tableName));
  const uncovered = (table: TableFacts): boolean => !covered.has(tableName(table));
  const missing = copied(tables, wanted).filter(uncovered);
  if (missing.length > 0 && !publication.viaRoot)
    broken(
      'publication-tables',
      `does not cover ${some(missing.map(tableName))}`,
      addTablesSql(name, missing, excerpts),
    );
  return findings;
}

/** We create it ourselves where we may: that takes CREATE on the database and every table for our own. */
function creation(
  server: SourceFacts['server'],
  name: string,
  { needed, excerpts }: { readonly needed: readonly TableFacts[]; readonly excerpts: Excerpts | undefined },
): Found[] {
  const foreign = needed.filter((table) => !table.owned);
  if (server.superuser || (server.mayCreate && foreign.length === 0)) return [];
  const reason = server.mayCreate ? `does not own ${some(foreign.map(tableName))}` : 'lacks CREATE on this database';
  return [
    {
      severity: 'blocker',
      check: 'publication',
      message: `There is no publication ${name}, and role ${server.role} ${reason}, so an administrator must create it`,
      cure: `${createPublicationSql(name, needed, excerpts)};`,
      code: 'SOURCE_PRIVILEGE',
    },
  ];
}
