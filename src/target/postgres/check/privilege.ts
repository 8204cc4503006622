import type { SourceProfile } from '../../../change/profile.ts';
import { tableName } from '../../../change/table.ts';
import { type Found, some } from '../../../engine/postgres/access.ts';
import { quoteIdentifier, quoteTable } from '../../../engine/postgres/identifier.ts';
import { checkpointTable, ownSchema } from '../checkpoint.ts';
import type { TargetFacts } from '../facts.ts';

/** What our role needs and no more: to write as a replica does, to make what is missing, to write what is there. */
export function checkPrivileges(facts: TargetFacts, source: SourceProfile | undefined): Found[] {
  const tables = source?.tables ?? [];
  return [...replicationRole(facts), ...database(facts, tables), ...schemas(facts, tables), ...existingTables(facts)];
}

const closed = (check: string, message: string, cure: string): Found => ({
  severity: 'blocker',
  check,
  message,
  cure,
  code: 'TARGET_PRIVILEGE',
});

/** Without it triggers and foreign keys would act on replicated rows a second time. */
function replicationRole({ mayReplicate, server, database: { version } }: TargetFacts): Found[] {
  if (mayReplicate) return [];
  const role = quoteIdentifier(server.role);
  return [
    closed(
      'replication-role',
      `Role ${server.role} may not set session_replication_role: triggers and foreign keys would act on replicated rows again`,
      version >= 150_000
        ? `GRANT SET ON PARAMETER session_replication_role TO ${role};`
        : `-- Before PostgreSQL 15 only a superuser may:\nALTER ROLE ${role} SUPERUSER;`,
    ),
  ];
}

/** CREATE for the schemas, ours included, until the lane's own table is there: CREATE SCHEMA IF NOT EXISTS asks for it even where it
 *  does nothing. TEMPORARY for the tables that changes pass through. */
function database(
  { server, schemas: existing, tables: present }: TargetFacts,
  tables: SourceProfile['tables'],
): Found[] {
  const there = new Set(existing.map((schema) => schema.name));
  const made = present.some((table) => tableName(table) === tableName(checkpointTable));
  const creates = !made || tables.some((table) => !there.has(table.schema));
  const lacking = [...(creates && !server.mayCreate ? ['CREATE'] : []), ...(server.mayTemporary ? [] : ['TEMPORARY'])];
  if (lacking.length === 0) return [];
  return [
    closed(
      'database-privileges',
      `Role ${server.role} lacks ${lacking.join(' and ')} on this database`,
      `GRANT ${lacking.join(', ')} ON DATABASE ${quoteIdentifier(server.name)} TO ${quoteIdentifier(server.role)};`,
    ),
  ];
}

/** A schema that a table has yet to be made in takes CREATE too. */
function schemas({ server, schemas: existing, tables: there }: TargetFacts, tables: SourceProfile['tables']): Found[] {
  const present = new Set(there.map(tableName));
  const needed = new Map([[ownSchema, !present.has(tableName(checkpointTable))]]);
  for (const table of tables)
    needed.set(table.schema, needed.get(table.schema) === true || !present.has(tableName(table)));
  const grants = existing.flatMap((schema) => {
    const creates = needed.get(schema.name);
    if (creates === undefined) return [];
    const lacking = [...(schema.mayUse ? [] : ['USAGE']), ...(creates && !schema.mayCreate ? ['CREATE'] : [])];
    return lacking.length === 0 ? [] : [{ name: schema.name, lacking }];
  });
  if (grants.length === 0) return [];
  return [
    closed(
      'schema-privileges',
      `Role ${server.role} may not ${grants.some(({ lacking }) => lacking.includes('CREATE')) ? 'use or create in' : 'use'} schema ${some(grants.map(({ name }) => name))}`,
      grants
        .map(
          ({ name, lacking }) =>
            `GRANT ${lacking.join(', ')} ON SCHEMA ${quoteIdentifier(name)} TO ${quoteIdentifier(server.role)};`,
        )
        .join('\n'),
    ),
  ];
}

function existingTables({ server, tables }: TargetFacts): Found[] {
  const role = quoteIdentifier(server.role);
  const findings: Found[] = [];
  const closedTables = tables.filter((table) => table.table && table.lacking.length > 0);
  if (closedTables.length > 0)
    findings.push(
      closed(
        'table-privileges',
        `Role ${server.role} may not write ${some(closedTables.map(tableName))}`,
        closedTables.map((table) => `GRANT ${table.lacking.join(', ')} ON ${quoteTable(table)} TO ${role};`).join('\n'),
      ),
    );
  const hidden = tables.filter((table) => table.rowsHidden);
  if (hidden.length > 0)
    findings.push(
      closed(
        'row-security',
        `Row-level policies stand between role ${server.role} and ${some(hidden.map(tableName))}`,
        `ALTER ROLE ${role} BYPASSRLS;`,
      ),
    );
  return findings;
}
