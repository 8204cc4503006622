import type { SourceProfile } from '../../../change/profile.ts';
import { type Found, some } from '../../../engine/postgres/access.ts';
import { quoteIdentifier, quoteLiteral } from '../../../engine/postgres/identifier.ts';
import type { TargetFacts } from '../facts.ts';

/** The server and the database as a whole: whether it may be written, and whether it can hold what the source has. */
export function checkDatabase(facts: TargetFacts, source: SourceProfile | undefined): Found[] {
  const own = writable(facts.server);
  if (source === undefined) return own;
  return [
    ...own,
    ...identity(facts, source),
    ...older(facts, source),
    ...encoding(facts, source),
    ...collation(facts, source),
  ];
}

function writable({ recovering }: TargetFacts['server']): Found[] {
  if (recovering)
    return [
      {
        severity: 'blocker',
        check: 'recovery',
        message: 'This server is a standby: nobody can write to it',
        cure: '-- Give the address of its primary instead. Only where this server has to lead from now on: SELECT pg_promote();',
        code: 'TARGET_UNSUITABLE',
      },
    ];
  return [];
}

/** A clone shares the system identifier with its model; only the start of the running server tells them apart. */
function identity({ database }: TargetFacts, source: SourceProfile): Found[] {
  if (database.origin !== source.origin) return [];
  if (database.server !== source.server)
    return [
      {
        severity: 'note',
        check: 'clone',
        message: 'Both servers come of one initdb (one is a copy of the other): their positions look alike and are not',
      },
    ];
  if (database.database !== source.database)
    return [
      {
        severity: 'note',
        check: 'same-server',
        message: 'Both databases are on one server: what takes it down takes both',
      },
    ];
  return [
    {
      severity: 'blocker',
      check: 'same-database',
      message: 'Primary and secondary are the same database',
      cure: '-- Give the addresses of two databases',
      code: 'TARGET_UNSUITABLE',
    },
  ];
}

const majorOf = (version: number): number => Math.trunc(version / 10_000);

function older({ database }: TargetFacts, source: SourceProfile): Found[] {
  const [there, here] = [majorOf(source.version), majorOf(database.version)];
  if (here >= there) return [];
  return [
    {
      severity: 'warning',
      check: 'version-older',
      message: `The secondary runs PostgreSQL ${here}, the primary ${there}: statements and types that are new in ${there} cannot be replayed, and applications move to an older server at a failover`,
      cure: `-- Upgrade the secondary to PostgreSQL ${there} or newer: https://www.postgresql.org/docs/current/upgrading.html`,
    },
  ];
}

/** UTF-8 holds every text of every other encoding. */
function encoding({ database, server }: TargetFacts, source: SourceProfile): Found[] {
  if (database.encoding === 'UTF8' || database.encoding === source.encoding) return [];
  return [
    {
      severity: 'blocker',
      check: 'encoding',
      message: `The primary's text is ${source.encoding}; this database is ${database.encoding} and cannot hold all of it`,
      cure: `-- An encoding is for life: make another database, and give its name to Changeover
CREATE DATABASE ${quoteIdentifier(`${server.name}_utf8`)} TEMPLATE template0 ENCODING 'UTF8';`,
      code: 'TARGET_UNSUITABLE',
    },
  ];
}

function collation({ database, server }: TargetFacts, source: SourceProfile): Found[] {
  const [here, there] = [database.collation, source.collation];
  const say = ({ provider, collate, ctype, locale }: typeof here): string =>
    [provider, locale ?? [...new Set([collate, ctype])].join('/')].join(' ');
  // glibc takes both en_US.utf8 and en_US.UTF-8 for one.
  const plain = (text: string): string => text.toLowerCase().replaceAll('utf-8', 'utf8');
  if (plain(say(here)) !== plain(say(there)))
    return [
      {
        severity: 'warning',
        check: 'collation',
        message: `The primary sorts text by ${say(there)}, this database by ${say(here)}: order and, for some locales, equality of text differ`,
        cure: `-- A collation is for life: make another database, and give its name to Changeover
CREATE DATABASE ${quoteIdentifier(`${server.name}_sorted`)} TEMPLATE template0 ${localeClauses(source, database.version)};`,
      },
    ];
  if (here.version === there.version || here.version === undefined || there.version === undefined) return [];
  return [
    {
      severity: 'warning',
      check: 'collation-version',
      message: `The primary sorts by ${there.provider} ${there.version}, this server by ${here.version}: the order of some text differs`,
      cure: '-- Run both servers on the same release of the operating system. Indexes built here are right for here: nothing to rebuild',
    },
  ];
}

/** https://www.postgresql.org/docs/current/sql-createdatabase.html. Providers came with PostgreSQL 15. */
function localeClauses(
  { collation: { provider, collate, ctype, locale }, encoding: text }: SourceProfile,
  here: number,
): string {
  const clauses = [
    `ENCODING ${quoteLiteral(text)}`,
    `LC_COLLATE ${quoteLiteral(collate)}`,
    `LC_CTYPE ${quoteLiteral(ctype)}`,
  ];
  if (majorOf(here) >= 15) clauses.push(`LOCALE_PROVIDER ${provider}`);
  if (locale !== undefined)
    clauses.push(`${provider === 'icu' ? 'ICU_LOCALE' : 'BUILTIN_LOCALE'} ${quoteLiteral(locale)}`);
  return clauses.join(' ');
}

/** Roles are of the cluster and not copied: ownership and grants that name a missing one cannot be restored. */
export function checkRoles({ missingRoles }: TargetFacts): Found[] {
  if (missingRoles.length === 0) return [];
  return [
    {
      severity: 'note',
      check: 'roles',
      message: `Roles of the primary's tables that do not exist here: ${some(missingRoles)}`,
      cure: missingRoles.map((role) => `CREATE ROLE ${quoteIdentifier(role)} NOLOGIN;`).join('\n'),
    },
  ];
}
