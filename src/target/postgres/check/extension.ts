import type { Extension, SourceProfile } from '../../../change/profile.ts';
import type { Found } from '../../../engine/postgres/access.ts';
import { quoteIdentifier } from '../../../engine/postgres/identifier.ts';
import type { AvailableExtension, TargetFacts } from '../facts.ts';

/** Types, functions and indexes of an extension cannot be had without it. */
export function checkExtensions(facts: TargetFacts, source: SourceProfile): Found[] {
  return source.extensions.flatMap((extension) => check(extension, facts));
}

function check(extension: Extension, { extensions, available, server, database }: TargetFacts): Found[] {
  const { name, version, schema } = extension;
  const installed = extensions.find((one) => one.name === name);
  const offered = available.find((one) => one.name === name);
  const major = Math.trunc(database.version / 10_000);
  if (installed !== undefined) return otherVersion(extension, installed.version, packageCure(name, major), offered);
  if (offered === undefined)
    return [
      {
        severity: 'blocker',
        check: 'extension-missing',
        message: `The primary uses extension ${name} ${version}; this server does not have it`,
        cure: packageCure(name, major),
        code: 'TARGET_UNSUITABLE',
      },
    ];
  const cure = `CREATE SCHEMA IF NOT EXISTS ${quoteIdentifier(schema)};
CREATE EXTENSION IF NOT EXISTS ${quoteIdentifier(name)} WITH SCHEMA ${quoteIdentifier(schema)} CASCADE;`;
  const ours = server.superuser || (offered.open && server.mayCreate);
  if (ours)
    return [
      {
        severity: 'note',
        check: 'extension-install',
        message: `Extension ${name} is not installed yet; we do that`,
        cure,
      },
    ];
  return [
    {
      severity: 'blocker',
      check: 'extension-install',
      message: `Extension ${name} is not installed, and role ${server.role} may not install it: an administrator must`,
      cure,
      code: 'TARGET_PRIVILEGE',
    },
  ];
}

/** A newer one reads what an older one wrote; the other way round nobody promises. */
function otherVersion(
  { name, version }: Extension,
  here: string,
  upgrade: string,
  offered: AvailableExtension | undefined,
): Found[] {
  if (!isOlder(here, version)) return [];
  const updatable = offered !== undefined && isOlder(here, offered.version);
  return [
    {
      severity: 'warning',
      check: 'extension-version',
      message: `Extension ${name} is ${version} at the primary and older here, ${here}: it may not read all values`,
      cure: updatable ? `ALTER EXTENSION ${quoteIdentifier(name)} UPDATE;` : upgrade,
    },
  ];
}

/** By the numbers in dotted versions; what is no number counts as 0. */
function isOlder(one: string, other: string): boolean {
  const [a, b] = [one, other].map((version) => version.split('.').map((part) => Number.parseInt(part, 10) || 0));
  for (let index = 0; index < Math.max(a?.length ?? 0, b?.length ?? 0); index += 1) {
    const difference = (a?.[index] ?? 0) - (b?.[index] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** Extensions that come with PostgreSQL's own packages.
 *  https://www.postgresql.org/docs/current/contrib.html */
const contrib = new Set(
  `amcheck autoinc bloom bool_plperl btree_gin btree_gist citext cube dblink dict_int dict_xsyn earthdistance file_fdw
  fuzzystrmatch hstore hstore_plperl hstore_plpython3u insert_username intagg intarray isn jsonb_plperl jsonb_plpython3u lo ltree
  ltree_plpython3u moddatetime pageinspect pg_buffercache pg_freespacemap pg_logicalinspect pg_prewarm pg_stat_statements
  pg_surgery pg_trgm pg_visibility pg_walinspect pgcrypto pgrowlocks pgstattuple postgres_fdw refint seg sslinfo tablefunc tcn
  tsm_system_rows tsm_system_time unaccent uuid-ossp xml2`.split(/\s+/),
);
/** Whose package has another name than the extension. */
const packages: Readonly<Record<string, string>> = {
  vector: 'pgvector',
  postgis: 'postgis-3',
  postgis_raster: 'postgis-3',
  postgis_topology: 'postgis-3',
  pg_cron: 'cron',
  pg_partman: 'partman',
};

function packageCure(name: string, major: number): string {
  if (contrib.has(name))
    return `-- Debian, Ubuntu: apt-get install postgresql-${major}    Red Hat: dnf install postgresql${major}-contrib`;
  const of = packages[name] ?? name.replaceAll('_', '-');
  return `-- Debian, Ubuntu: apt-get install postgresql-${major}-${of}    Red Hat: dnf install ${of}_${major}
-- A managed server lists what it offers in its console: SELECT * FROM pg_available_extensions;`;
}
